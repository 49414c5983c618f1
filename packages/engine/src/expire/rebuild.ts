import { type Abortable, hasCode, isKeyframeError, type KeyframeError } from '@keyframe/contracts';
import type { ClusterHistory, LostBackup, LostRoot, Repository } from '@keyframe/repository';

/** What became of something that was lost. */
export type RebuildOutcome = 'found' | 'brought-back' | 'failed' | 'left-out';

/** What was found of a backup with a loss, and what became of it. */
export interface RebuiltBackup extends Pick<LostBackup, 'epoch' | 'label' | 'lost' | 'verdict' | 'detail'> {
  /** `left-out`: an expiry took it, so that it is no loss. */
  readonly outcome: RebuildOutcome;
  readonly fault: string | undefined;
}

/** `keyframe.json`, or the record of an epoch of any cluster, that was lost, and what became of it. */
export interface RebuiltRoot extends Pick<LostRoot, 'key' | 'detail' | 'assumed'> {
  readonly lost: LostRoot['fault'];
  readonly outcome: Exclude<RebuildOutcome, 'left-out'>;
  readonly fault: string | undefined;
}

/** What a rebuilding found and did. */
export interface Rebuilt {
  readonly roots: readonly RebuiltRoot[];
  readonly backups: readonly RebuiltBackup[];
  /** What could not be found out. */
  readonly notes: readonly string[];
}

/**
 * Finds what is lost of records and manifests, and with `apply` brings back that of which a copy survives: first what says
 * who the repository and its clusters are, then the backups of one cluster. `rootsOnly`: in one store of several, where no
 * backup may be written.
 * @throws {KeyframeError} REPOSITORY_MISSING, CORRUPT when objects of several repositories lie there, UNAVAILABLE, ACCESS_DENIED
 */
export async function rebuild(
  { repository, history }: { readonly repository: Repository; readonly history: ClusterHistory },
  { apply, rootsOnly = false }: { readonly apply: boolean; readonly rootsOnly?: boolean | undefined },
  options: Abortable = {},
): Promise<Rebuilt> {
  const roots: RebuiltRoot[] = [];
  for (;;) {
    const lost = await repository.roots.find(options);
    const fresh = lost.filter(({ key }) => !roots.some((each) => each.key === key));
    for (const root of fresh) roots.push(await rebuiltRoot(repository, root, apply, options));
    // Who the repository is must be known before its epochs can be looked for.
    if (fresh.every(({ key }) => key !== IDENTITY) || !apply) break;
  }
  const notes: string[] = [];
  if (roots.some(({ outcome }) => outcome !== 'brought-back'))
    notes.push('what lies below a record that is not back was not looked at');
  if (roots.some(({ key, outcome }) => key === IDENTITY && outcome !== 'brought-back'))
    return { roots, backups: [], notes };
  if (rootsOnly) return { roots, backups: [], notes: [...notes, 'backups were not looked at'] };
  const backups = await rebuiltBackups(history, apply, notes, options);
  return { roots, backups, notes };
}

const IDENTITY = 'keyframe.json';

async function rebuiltRoot(
  repository: Repository,
  root: LostRoot,
  apply: boolean,
  options: Abortable,
): Promise<RebuiltRoot> {
  const { key, fault: lost, detail, assumed, content } = root;
  const found = { key, lost, detail, assumed, fault: undefined };
  if (!apply || content === undefined) return { ...found, outcome: 'found' };
  const fault = await faultOf(repository.roots.bringBack(root, options));
  return fault === undefined
    ? { ...found, outcome: 'brought-back' }
    : { ...found, outcome: 'failed', fault: fault.message };
}

async function rebuiltBackups(
  history: ClusterHistory,
  apply: boolean,
  notes: string[],
  options: Abortable,
): Promise<RebuiltBackup[]> {
  const retention = await history.retention(options);
  const onFault = ({ message }: KeyframeError): void =>
    void notes.push(`${message}: a backup that only it tells was removed may be offered`);
  const results: RebuiltBackup[] = [];
  for (const lost of await retention.rebuild.find({ ...options, onFault })) {
    const { epoch, label, verdict, detail } = lost;
    const found = { epoch, label, lost: lost.lost, verdict, detail, fault: undefined };
    if (verdict === 'expired' || verdict === 'removed') results.push({ ...found, outcome: 'left-out' });
    else if (!apply || verdict !== 'can-return') results.push({ ...found, outcome: 'found' });
    else {
      const fault = await faultOf(retention.rebuild.bringBack(lost, options));
      if (fault === undefined) results.push({ ...found, outcome: 'brought-back' });
      else results.push({ ...found, outcome: 'failed', fault: fault.message });
    }
  }
  return results;
}

/** One that cannot come back after all must not keep the others away. */
async function faultOf(work: Promise<unknown>): Promise<KeyframeError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!isKeyframeError(error) || !hasCode(error, 'CORRUPT', 'CONFLICT')) throw error;
    return error;
  }
}
