/** What the two commands of restore_command have in common: whose WAL is fetched. @packageDocumentation */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Abortable } from '@keyframe/contracts';
import type { App } from '@keyframe/runtime';
import type { FetchContext } from '@keyframe/engine/wal';
import type { OptionValues } from '../command-line/spec.ts';

export const FETCH_OPTIONS = {
  epoch: {
    kind: 'integer',
    flag: '--epoch',
    value: 'number',
    minimum: 1,
    description: 'epoch of the cluster; default that of the data directory it runs in, else the newest',
  },
  frozen: {
    kind: 'string',
    flag: '--frozen',
    value: 'inventory',
    description: 'what the archive held when the recovery was planned: a file of it that is gone is a fault',
  },
  last: {
    kind: 'string',
    flag: '--last',
    value: 'segment',
    description: 'the last segment that the recovery needs: nothing behind it is fetched ahead',
  },
  withoutStore: {
    kind: 'repeatable',
    flag: '--without-store',
    value: 'name',
    description: 'what every other store of the repository lacks is absent; repeatable',
  },
  spool: {
    kind: 'string',
    flag: '--spool',
    value: 'name',
    description:
      'directory, in the data directory, of what is fetched ahead; the wrapper keyframe-restore-command gives it and answers from it',
  },
  spoolFor: {
    kind: 'string',
    flag: '--spool-for',
    value: 'words',
    description: 'with --spool: the command that is answered from it; the wrapper gives its own words',
  },
} as const;

/** The archive that is fetched from: of the epoch that was named, else of the data directory the command runs in. */
export async function fetchContext(
  app: App,
  { epoch, frozen }: OptionValues<typeof FETCH_OPTIONS>,
  { cwd, signal }: Abortable & { readonly cwd: string },
): Promise<FetchContext> {
  const { archiveAt, ownArchive } = await import('@keyframe/engine/wal');
  const { repository, clusterName } = app;
  const archive =
    epoch === undefined
      ? await ownArchive(repository, clusterName, cwd, { signal })
      : await archiveAt(repository, clusterName, epoch, { signal });
  return { repository, archive, frozen, standby: existsSync(join(cwd, 'standby.signal')) };
}
