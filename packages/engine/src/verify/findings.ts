/** Gathers what is found, each thing once. @packageDocumentation */
import { historyName, type KeyframeError, type TimelineId } from '@keyframe/contracts';
import type { ChainFault, SignatureVerdict } from '@keyframe/repository';
import type { Gap, Hits } from './courses.ts';
import type { Finding, Remark } from './report.ts';

const NO_HITS: Hits = { backups: [], moments: [] };

/** What to do, by what is lost. */
const HINTS = {
  pack: 'Keep what is there for inspection, take a backup with `keyframe backup`, which stores anew what lay there, and restore from an older one meanwhile.',
  spare:
    'The backup can be restored from the other copy; take a new one with `keyframe backup`, and check the storage.',
  record:
    'Take a backup with `keyframe backup`; `keyframe repository rebuild` brings a record back from the copy of its manifest.',
  wal: 'If a server still has the file in pg_wal, archive it with `keyframe wal push`; else take a new backup with `keyframe backup`.',
  walThere:
    'Keep the object for inspection; if a server still has the file in pg_wal, put it away under another name and archive the file with `keyframe wal push`; else take a new backup with `keyframe backup`.',
  index: 'No backup and no recovery needs it: make it anew from the WAL with `keyframe wal index --anew`.',
  unneeded: 'No backup needs it; check the storage under the repository.',
  signature:
    'Do not restore it before you know who wrote it; if that signer is yours, name its public key under `repositories.<name>.signing.trusted`.',
  chain:
    'Find out who can write to the store; what lies in it since then is not proven. Take a full backup into a new repository with `keyframe backup` if in doubt.',
} as const;

/** Findings and remarks of one run. */
export class Findings {
  readonly remarks: Remark[] = [];
  readonly #found = new Map<string, Finding>();

  get all(): readonly Finding[] {
    return [...this.#found.values()];
  }

  /** Tells the newest commit before what is lost with an object. */
  date(object: string, lastCommitBefore: string): void {
    for (const [id, finding] of this.#found)
      if (finding.object === object && finding.moments.length > 0)
        this.#found.set(id, { ...finding, lastCommitBefore });
  }

  /** Takes back what turned out to be nothing. */
  drop(isNothing: (finding: Finding) => boolean): void {
    for (const [id, finding] of this.#found) if (isNothing(finding)) this.#found.delete(id);
  }

  remark(message: string, hint?: string): void {
    if (!this.remarks.some((each) => each.message === message)) this.remarks.push({ message, hint });
  }

  damagedRecord({ message, details }: KeyframeError): void {
    const object = String(details['key']);
    const label = object.split('/').at(-2) ?? '';
    this.#add({ kind: 'damaged', object, what: message, ...NO_HITS, backups: [label], hint: HINTS.record });
  }

  history(
    kind: 'missing' | 'damaged',
    object: string,
    timeline: TimelineId,
    backups: readonly string[],
    error?: KeyframeError,
  ): void {
    const what = error?.message ?? `the history file ${historyName(timeline)} is missing`;
    const moments = [`timeline ${timeline}: nothing on it can be recovered`];
    this.#add({ kind, object, what, backups, moments, hint: HINTS.wal });
  }

  gap(
    { object, names }: { readonly object: string; readonly names: readonly [string, string] },
    gap: Gap,
    hits: Hits,
  ): void {
    const [first, last] = names;
    const count = Number(gap.last - gap.first) + 1;
    const what =
      count === 1 ? `WAL segment ${first} is missing` : `${count} WAL segments from ${first} to ${last} are missing`;
    this.#add({ kind: 'missing', object, what, ...hits, hint: HINTS.wal });
  }

  missingPack(object: string, backups: readonly string[]): void {
    this.#add({ kind: 'missing', object, what: 'the pack is missing', backups, moments: [], hint: HINTS.pack });
  }

  otherPack(object: string, backups: readonly string[]): void {
    const what = 'it is a whole pack, and not the one that the manifest names: its frame table is another';
    this.#add({ kind: 'replaced', object, what, backups, moments: [], hint: HINTS.pack });
  }

  damaged(object: string, what: string, hits: Hits, area: 'pack' | 'wal' | 'record'): void {
    const isNeeded = hits.backups.length + hits.moments.length > 0;
    const hint = area === 'wal' ? HINTS.walThere : HINTS[area];
    this.#add({ kind: 'damaged', object, what, ...hits, hint: isNeeded ? hint : HINTS.unneeded });
  }

  manifest(object: string, what: string, backups: readonly string[]): void {
    const hint = backups.length === 0 ? HINTS.spare : HINTS.pack;
    this.#add({ kind: 'damaged', object, what, backups, moments: [], hint });
  }

  missingManifest(object: string, backups: readonly string[]): void {
    const hint = backups.length === 0 ? HINTS.spare : HINTS.pack;
    this.#add({ kind: 'missing', object, what: 'the manifest is missing', backups, moments: [], hint });
  }

  /** An object of the WAL index, of which all is derived. */
  index(kind: 'damaged' | 'replaced', object: string, what: string): void {
    this.#add({ kind, object, what, ...NO_HITS, hint: HINTS.index });
  }

  /** A WAL file that the signed chain vouches for. */
  signedWal(kind: 'missing' | 'replaced', object: string, hits: Hits): void {
    const what =
      kind === 'missing'
        ? 'the WAL file is signed in the chain, and it is missing'
        : 'it holds another WAL file than the one that was signed';
    this.#add({ kind, object, what, ...hits, hint: kind === 'missing' ? HINTS.wal : HINTS.chain });
  }

  /** A backup that the signed chain vouches for. */
  signedBackup(kind: 'missing' | 'replaced', object: string, label: string): void {
    const what =
      kind === 'missing'
        ? `the backup ${label} is signed in the chain, no expiry removed it, and its record is missing`
        : `the record of backup ${label} is another one than the chain vouches for`;
    this.#add({ kind, object, what, backups: [label], moments: [], hint: HINTS.chain });
  }

  signature(object: string, label: string, { trust, keyId }: SignatureVerdict): void {
    const by = keyId === undefined ? '' : ` (key ${keyId})`;
    const what = `the record of backup ${label} ${WHAT_OF_TRUST[trust]}${by}`;
    this.#add({ kind: 'signature', object, what, backups: [label], moments: [], hint: HINTS.signature });
  }

  chain({ key, message }: Pick<ChainFault, 'key' | 'message'>): void {
    this.#add({ kind: 'chain', object: key, what: message, backups: [], moments: [], hint: HINTS.chain });
  }

  /** The first thing said of an object stays, unless another kind of thing is said of it. */
  #add(finding: Finding): void {
    const id = `${finding.kind} ${finding.object}`;
    const known = this.#found.get(id);
    if (known === undefined) this.#found.set(id, finding);
    else
      this.#found.set(id, {
        ...known,
        backups: [...new Set([...known.backups, ...finding.backups])],
        moments: [...new Set([...known.moments, ...finding.moments])],
      });
  }
}

const WHAT_OF_TRUST = {
  trusted: 'is signed',
  'first-use': 'is signed by a key that is not pinned',
  foreign: 'is signed by a key that nobody vouches for',
  wrong: 'carries a signature that does not fit its bytes',
  unsigned: 'carries no signature, and no checkpoint of the signed chain vouches for it',
} as const;
