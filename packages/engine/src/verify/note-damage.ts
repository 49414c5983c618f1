/** Tells the repository which packs are wrong, so that no later backup builds on them. @packageDocumentation */
import { type Abortable, isKeyframeError } from '@keyframe/contracts';
import type { DamagedPack, EpochArchive, KnownDamage, ListedObject, ReadLevel } from '@keyframe/repository';
import type { Findings } from './findings.ts';
import type { Finding } from './report.ts';
import type { NeededPack } from './survey.ts';

/** What one run knows of packs. */
export interface PackVerdicts {
  /** Packs that backups need. */
  readonly needed: ReadonlyMap<string, NeededPack>;
  /** Keys of those whose damage was known and which are right now. */
  readonly right: ReadonlySet<string>;
  /** Not every backup was looked at: what nobody was seen to need may still be needed. */
  readonly isPartial: boolean;
  /** How far packs were read. */
  readonly level: ReadLevel;
  readonly now: () => Date;
  objectAt(key: string): { readonly archive: EpochArchive; readonly object: ListedObject } | undefined;
}

/** Writes down what was found, and takes off what is right again or nobody needs any more. Failing is no fault of the repository. */
export async function noteDamage(
  damage: KnownDamage,
  verdicts: PackVerdicts,
  findings: Findings,
  options: Abortable,
): Promise<void> {
  try {
    const known = await damage.read(options);
    const found = await foundOf(verdicts, findings, known, options);
    const next = (before: ReadonlyMap<string, DamagedPack>): DamagedPack[] => nextOf(before, found, verdicts);
    const fresh = [...found.keys()].filter((key) => !known.has(key));
    await damage.change(next, options);
    if (fresh.length > 0)
      findings.remark(
        `${fresh.length === 1 ? 'one pack is' : `${fresh.length} packs are`} now known to be damaged: no later backup builds on ${fresh.length === 1 ? 'it' : 'them'}`,
        'Take a backup with `keyframe backup` while the server still has the data: what lay there is stored anew.',
      );
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    findings.remark(
      `what is damaged could not be noted in the repository: ${error.message}; the next backup does not know of it`,
      'Run `keyframe verify` where the store may be written, or take the next backup with `keyframe backup --type full --no-reuse`.',
    );
  }
}

function nextOf(
  before: ReadonlyMap<string, DamagedPack>,
  found: ReadonlyMap<string, DamagedPack>,
  { needed, right, isPartial }: PackVerdicts,
): DamagedPack[] {
  const kept = [...before].filter(([key]) => !found.has(key) && !right.has(key) && (isPartial || needed.has(key)));
  const told = [...found].map(([key, pack]) => withHistory(pack, before.get(key), isPartial));
  return [...kept.map(([, pack]) => pack), ...told];
}

/** When it was found first, and who was seen to need it when all were looked at. */
function withHistory(pack: DamagedPack, known: DamagedPack | undefined, isPartial: boolean): DamagedPack {
  if (known === undefined) return pack;
  const backups = isPartial ? [...new Set([...known.backups, ...pack.backups])].toSorted() : pack.backups;
  return { ...pack, backups, foundAt: known.foundAt };
}

async function foundOf(
  verdicts: PackVerdicts,
  findings: Findings,
  known: ReadonlyMap<string, DamagedPack>,
  options: Abortable,
): Promise<Map<string, DamagedPack>> {
  const { needed, level, now } = verdicts;
  const found = new Map<string, DamagedPack>();
  for (const { kind, object, what } of findings.all) {
    const pack = needed.get(object);
    if (pack === undefined || !isPackFault(kind)) continue;
    const listed = verdicts.objectAt(object);
    // Reads of it fall back to the whole copy, and mend this one.
    if (
      kind === 'damaged' &&
      listed !== undefined &&
      (await listed.archive.checks.hasWholeCopy(listed.object, options))
    )
      continue;
    const { epoch, label, number } = pack.use;
    found.set(object, {
      epoch,
      label,
      number,
      fault: kind,
      what,
      level: kind === 'damaged' && (level === 'content' || known.has(object)) ? 'content' : 'outline',
      foundAt: now().toISOString(),
      backups: [...pack.labels].toSorted(),
    });
  }
  return found;
}

function isPackFault(kind: Finding['kind']): kind is DamagedPack['fault'] {
  return kind === 'missing' || kind === 'damaged' || kind === 'replaced';
}
