import type { FileFact, WalFact } from '../src/index.ts';

const DIRECTORY = String.raw`(?:base/(?<base>\d+)|global|pg_tblspc/(?<space>\d+)/\S+?/(?<database>\d+))`;
const RELATION = String.raw`${DIRECTORY}/(?<node>\d+)(?<fork>_\w+)?`;
const FILE_RECORDS: readonly (readonly [RegExp, (match: Readonly<Record<string, string | undefined>>) => string])[] = [
  [new RegExp(`^CREATE ${RELATION}$`), (match) => `relation-create ${relation(match)} ${match['fork'] === undefined}`],
  [
    new RegExp(`^TRUNCATE ${RELATION} to (?<blocks>\\d+) blocks flags (?<flags>\\d+)$`),
    (match) => `relation-truncate ${relation(match)} ${match['blocks']} ${(Number(match['flags']) & 1) === 1}`,
  ],
  [
    /^CREATE(?:_FILE_COPY)? copy dir (?:\d+\/)?\d+ to (?<space>\d+)\/(?<database>\d+)$/,
    (match) => `database-create ${match['database']} ${match['space']}`,
  ],
  [
    /^CREATE_WAL_LOG create dir (?<space>\d+)\/(?<database>\d+)$/,
    (match) => `database-create ${match['database']} ${match['space']}`,
  ],
  [
    /^UPDATE database (?<database>\d+) tablespace (?<space>\d+) size/,
    (match) => `relation-map ${match['database']} ${match['space']}`,
  ],
];

/**
 * What pg_waldump prints of a record about files, as a line to compare; `undefined` for other resource managers.
 * @see smgrdesc.c, dbasedesc.c and relmapdesc.c in PostgreSQL's src/backend/access/rmgrdesc
 */
export function describedFile(name: string, description: string): string | undefined {
  if (!['Storage', 'Database', 'RelMap'].includes(name)) return undefined;
  for (const [pattern, describe] of FILE_RECORDS) {
    const groups = pattern.exec(description)?.groups;
    if (groups !== undefined) return describe(groups);
  }
  const drop = /^DROP dir((?: \d+\/\d+)+)$/.exec(description)?.[1]?.trim().split(' ') ?? [];
  if (drop.length === 0) throw new Error(`cannot read what pg_waldump says: ${description}`);
  const places = drop.map((each) => each.split('/'));
  return `database-drop ${places[0]?.[1]} ${places.map(([space]) => space).join(' ')}`;
}

function relation({ base, space, database, node }: Readonly<Record<string, string | undefined>>): string {
  const builtIn = base === undefined ? '1664/0' : `1663/${base}`;
  return `${space === undefined ? builtIn : `${space}/${database}`}/${node}`;
}

/** True for what is told only where `files` is watched. */
export function isFileFact(fact: WalFact): fact is FileFact {
  return fact.kind.startsWith('relation-') || fact.kind.startsWith('database-');
}

/** The same line for a fact of ours. */
export function lineOfFile(fact: FileFact): string {
  switch (fact.kind) {
    case 'relation-create':
      return `${fact.kind} ${fact.tablespace}/${fact.database}/${fact.relfilenode} ${fact.isMain}`;
    case 'relation-truncate':
      return `${fact.kind} ${fact.tablespace}/${fact.database}/${fact.relfilenode} ${fact.blocks} ${fact.isMain}`;
    case 'relation-map':
      return `${fact.kind} ${fact.database} ${fact.tablespace}`;
    case 'database-create':
    case 'database-drop':
    default:
      return `${fact.kind} ${fact.database} ${fact.tablespaces.join(' ')}`;
  }
}
