/** The shape of the config file. Options of plugins are theirs: they are checked by the plugin's own schema. @packageDocumentation */
import { hasCode } from '@keyframe/contracts';
import { z } from 'zod';
import type { KeyPath } from './problems.ts';
import { maskUrl } from './redaction.ts';
import { type RetentionConfiguration, RETENTION_KEYS, retentionSchema } from './retention-schema.ts';
import type { StorageClasses } from '@keyframe/engine/store';
import { DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from './units.ts';

/** What stands in a slot for an adapter. `use` is a name, or in JavaScript the plugin object itself. */
export interface Slot {
  readonly use: unknown;
  readonly [option: string]: unknown;
}

/** The file after {@link configurationSchema}, before references and plugins are resolved. */
export interface RawConfiguration {
  readonly state?: string | undefined;
  readonly clusters: Readonly<Record<string, RawCluster>>;
  readonly repositories: Readonly<Record<string, RawRepository>>;
}

export interface RawCluster {
  readonly source: { readonly url?: string | undefined; readonly dataDirectory?: string | undefined };
  readonly repository?: string | undefined;
  readonly walTimeout: number;
  readonly retention?: RetentionConfiguration | undefined;
  readonly maxRate?: number | undefined;
  readonly receive: RawReceive;
}

/** How `keyframe wal receive` works for one cluster. */
export interface RawReceive {
  readonly slot?: string | undefined;
  readonly flushInterval: number;
  readonly flushBytes: number;
  readonly synchronous: boolean;
}

/** What can be said of every store, whatever its kind. */
export interface RawStore extends Slot {
  readonly classes?: StorageClasses | undefined;
  readonly archive?: { readonly after: number; readonly class: string } | undefined;
}

export interface RawRepository {
  readonly stores: readonly RawStore[];
  readonly quorum?: number | undefined;
  readonly lead?: string | undefined;
  readonly compress: Slot;
  readonly encrypt?: readonly Slot[] | undefined;
  readonly indexKey?: string | undefined;
  readonly immutable?: number | undefined;
  readonly retention?: RetentionConfiguration | undefined;
  readonly signing?: { readonly key?: string | undefined; readonly trusted: readonly string[] } | undefined;
}

type Parse = (text: string) => number;

/** Text to a number; the parser's message becomes the reason and its hint the fix. */
function unit(parse: Parse, what: string, pattern: string, description: string): z.ZodType<number, string> {
  return z
    .string({ error: `must be a ${what} with its unit, in text` })
    .meta({ pattern, description })
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        if (!hasCode(error, 'INVALID_OPTION')) throw error;
        context.issues.push({ code: 'custom', message: error.message, params: { fix: error.hint }, input: text });
        return z.NEVER;
      }
    });
}

const MIN_RATE = 32 * 1024;
const MAX_RATE = 1024 ** 3;

/** Bytes per second, within what the server accepts as MAX_RATE. */
const rate = unit(
  (text) => parseSize(text.replace(/\/s$/, '')),
  'size per second',
  SIZE_PATTERN.replace(/\$$/, '(/s)?$'),
  'Most that a backup reads per second, e.g. 50MiB/s (from 32KiB/s to 1GiB/s). Default: no limit.',
).refine((bytes) => bytes >= MIN_RATE && bytes <= MAX_RATE, {
  error: 'must be from 32KiB/s to 1GiB/s, which PostgreSQL accepts',
});

/** Names are parts of object keys, so they are kept plain. */
export const NAME: RegExp = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** {@link NAME} in words. */
export const NAME_RULE: string = 'a name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter or digit';

const url = z
  .string()
  .meta({
    description: 'Connection URI. Default: PG* variables and libpq defaults.',
    examples: ['postgresql://keyframe@/postgres'],
  })
  .superRefine((text, context) => {
    if (/^postgres(?:ql)?:\/\//.test(text)) return;
    const shown = /password|:.*@/i.test(text) ? '' : `, not ${JSON.stringify(maskUrl(text))}`;
    context.addIssue({
      code: 'custom',
      message: `must be a connection URI${shown}`,
      params: {
        fix: 'Write postgresql://user@host:port/database, or postgresql://user@/database?host=/var/run/postgresql for a socket.',
      },
    });
  });

const dataDirectory = z
  .string()
  .regex(/^\//, { error: 'must be an absolute path' })
  .meta({ description: 'Data directory, when this machine can read it. Absolute path.' });

const source = z.strictObject({ url: url.optional(), dataDirectory: dataDirectory.optional() });

const retention = retentionSchema((description) => unit(parseDuration, 'duration', DURATION_PATTERN, description));

const receive = z.strictObject({
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, { error: 'must be 1 to 63 of a-z, 0-9 and _' })
    .optional()
    .describe('Physical replication slot, made if it is not there. Default: keyframe_ and the name of the cluster.'),
  flushInterval: unit(
    parseDuration,
    'duration',
    DURATION_PATTERN,
    'How old WAL gets at most before it is stored: what a lost host may cost. Default 5s.',
  ).prefault('5s'),
  flushBytes: unit(
    parseSize,
    'size',
    SIZE_PATTERN,
    'How much WAL gathers at most before it is stored. Default 4MiB.',
  ).prefault('4MiB'),
  synchronous: z
    .boolean()
    .prefault(false)
    .describe('Store everything at once, so that commits may wait for it (synchronous_standby_names). Default false.'),
});

const cluster = z.strictObject({
  source: source.prefault({}).describe('Where PostgreSQL is.'),
  repository: z.string().optional().describe('Name of its repository. May be left out when there is exactly one.'),
  walTimeout: unit(
    parseDuration,
    'duration',
    DURATION_PATTERN,
    'How long a backup waits for its last WAL segment to be archived. Default 60s.',
  ).prefault('60s'),
  maxRate: rate.optional(),
  receive: receive.prefault({}).describe('How `keyframe wal receive` streams WAL.'),
  retention: retention
    .optional()
    .describe('What `keyframe expire` keeps of this cluster. Default: that of its repository.'),
});

const slot = z.looseObject({
  use: z.union([z.string().min(1), z.custom<object>((value) => typeof value === 'object' && value !== null)], {
    error: 'must name an adapter',
  }),
});

const storageClass = z.string().min(1);

/** Options of a store that are not its plugin's: {@link STORE_KEYS}. */
const store = slot.extend({
  classes: z
    .strictObject({ packs: storageClass.optional(), manifests: storageClass.optional(), wal: storageClass.optional() })
    .optional()
    .describe('Storage class of new objects by what they hold, in words of the store, e.g. { packs: STANDARD_IA }.'),
  archive: z
    .strictObject({
      after: unit(
        parseDuration,
        'duration',
        DURATION_PATTERN,
        'How young a backup must be to keep all it needs readable at once, e.g. 90d.',
      ),
      class: storageClass.describe('Storage class of what only older backups need, e.g. GLACIER.'),
    })
    .optional()
    .describe(
      'Moves what no young backup needs to an archive class: `keyframe lifecycle apply`. Default: nothing moves.',
    ),
});

const publicKey = z.string().regex(/^ed25519:[A-Za-z0-9+/]{43}=$/, { error: 'is no public key' });

const signing = z.strictObject({
  key: z
    .string()
    .min(1)
    .optional()
    .describe('Private key with which this host signs, in PEM: "${file:/path}". Default: it signs nothing.'),
  trusted: z
    .array(publicKey)
    .prefault([])
    .describe('Public keys to believe, beside the own one. Default: those that the repository names.'),
});

const repository = z.strictObject({
  stores: z.array(store).describe('Where the objects are kept: each of them holds everything.'),
  quorum: z
    .int()
    .min(1)
    .optional()
    .describe('How many stores must have an object before it counts. Default: more than half, or 1 beside a lead.'),
  lead: z.string().optional().describe('Name of a store that must have an object before it counts.'),
  compress: slot.prefault({ use: 'zstd', level: 1 }).describe('Codec of new objects. Default: zstd, level 1.'),
  encrypt: z
    .array(slot)
    .min(1, { error: 'must name a key' })
    .optional()
    .describe('What opens the repository: any one of them. Default: nothing is encrypted.'),
  indexKey: z
    .string()
    .min(1)
    .optional()
    .describe('For a host that writes and cannot read, from `keyframe key export-index`: "${file:/path}".'),
  immutable: unit(
    parseDuration,
    'duration',
    DURATION_PATTERN,
    'How long nobody, Keyframe included, can remove or replace what a backup needs, e.g. 30d: the stores lock it. Default: nothing is locked.',
  )
    .refine((ms) => ms >= 60_000, { error: 'must be at least 1m' })
    .optional(),
  retention: retention.optional().describe('What `keyframe expire` keeps. Without it nothing expires.'),
  signing: signing.optional().describe('Who signs what is written, and whose signatures are believed.'),
});

/** The whole file, after {@link normalize}. Strict: unknown keys fail. Names, references and counts are checked apart: zod skips such checks where a part is wrong. */
export const configurationSchema: z.ZodType<RawConfiguration> = z.strictObject({
  $schema: z.string().optional().describe('JSON Schema of this file, for editors.'),
  clusters: z.record(z.string(), cluster).describe('Database clusters by name.'),
  repositories: z.record(z.string(), repository).describe('Repositories by name.'),
  state: z
    .string()
    .regex(/^\//, { error: 'must be an absolute path' })
    .optional()
    .describe('Directory for what this host remembers. Default: keyframe below XDG_STATE_HOME or ~/.local/state.'),
});

/** The keys that are legal in one kind of map, and those that a later version gives a meaning to. */
export interface KnownKeys {
  readonly known: readonly string[];
  readonly later: readonly string[];
}

const ROOT: KnownKeys = { known: ['clusters', 'repositories', 'state'], later: ['notify', 'metrics'] };
const CLUSTER: KnownKeys = { known: Object.keys(cluster.shape), later: ['schedule', 'objectives'] };
const RECEIVE: KnownKeys = { known: Object.keys(receive.shape), later: [] };
const SOURCE: KnownKeys = { known: Object.keys(source.shape), later: [] };
const REPOSITORY: KnownKeys = {
  known: Object.keys(repository.shape),
  later: [],
};

const RETENTION: KnownKeys = { known: RETENTION_KEYS, later: [] };
const SIGNING: KnownKeys = { known: Object.keys(signing.shape), later: [] };

/** The keys of the map at that path; `undefined` inside an adapter's options. */
export function knownKeysAt(path: KeyPath): KnownKeys | undefined {
  const [section] = path;
  if (section === undefined) return ROOT;
  if (path.length === 3 && path[2] === 'retention') return RETENTION;
  if (path.length === 3 && path[2] === 'receive') return RECEIVE;
  if (section === 'clusters') return path.length === 2 ? CLUSTER : SOURCE;
  if (section !== 'repositories') return undefined;
  if (path.length === 3 && path[2] === 'signing') return SIGNING;
  return path.length === 2 ? REPOSITORY : undefined;
}

/** Narrows to a map of the file. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mapValues(value: unknown, change: (item: unknown) => unknown): unknown {
  if (!isMap(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)]));
}

/** The short forms written out: `main:` with nothing after it, `compress: zstd`, `stores: [fs]`. */
export function normalize(data: unknown): unknown {
  if (!isMap(data)) return data;
  const asSlot = (value: unknown): unknown => (typeof value === 'string' ? { use: value } : value);
  const asCluster = (value: unknown): unknown => {
    const map = value ?? {};
    return isMap(map) && map['source'] === null ? { ...map, source: {} } : map;
  };
  const asRepository = (value: unknown): unknown => {
    if (!isMap(value)) return value;
    const { stores, compress, encrypt } = value;
    return {
      ...value,
      ...(Array.isArray(stores) ? { stores: stores.map(asSlot) } : {}),
      ...(compress === undefined ? {} : { compress: asSlot(compress) }),
      ...(encrypt === undefined ? {} : { encrypt: (Array.isArray(encrypt) ? encrypt : [encrypt]).map(asSlot) }),
    };
  };
  return {
    ...data,
    ...('clusters' in data ? { clusters: mapValues(data['clusters'], asCluster) } : {}),
    ...('repositories' in data ? { repositories: mapValues(data['repositories'], asRepository) } : {}),
  };
}
