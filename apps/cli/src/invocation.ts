/** How this very installation is run again: by PostgreSQL, by a test, by the demo. @packageDocumentation */
import { fileURLToPath } from 'node:url';
import type { App } from '@keyframe/runtime';

/** Absolute paths of this installation. */
export interface SelfInvocation {
  readonly node: string;
  /** What Node needs before the program: the export condition when running from source. */
  readonly nodeArguments: readonly string[];
  readonly main: string;
  /** POSIX shell wrappers: `<wrapper> <node> <main> [options] -- <what PostgreSQL fills in>`. */
  readonly restoreWrapper: string;
  readonly archiveWrapper: string;
}

/** This file is `src/invocation.ts` in a checkout and a chunk in `dist/` of a package: `bin/` is beside both. */
export function selfInvocation(): SelfInvocation {
  const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const isSource = import.meta.url.endsWith('.ts');
  return {
    node: process.execPath,
    nodeArguments: isSource ? ['--conditions=@keyframe/source'] : [],
    main: at(isSource ? './main.ts' : './main.mjs'),
    restoreWrapper: at('../bin/keyframe-restore-command'),
    archiveWrapper: at('../bin/keyframe-archive-command'),
  };
}

/** What a user types to run this very installation: the checkout's script, or the command that a package installs. */
export function launcher(): string {
  return import.meta.url.endsWith('.ts') ? fileURLToPath(new URL('../../../keyframe', import.meta.url)) : 'keyframe';
}

/** Which cluster of which file a command line is for. */
export interface CommandTarget {
  readonly configFile: string;
  readonly clusterName: string;
  readonly repositoryName: string;
}

/** The cluster and repository that a command was opened for. */
export function commandTarget(app: App): CommandTarget {
  const { clusterName, repositoryName, configuration } = app;
  return { configFile: configuration.file, clusterName, repositoryName };
}

function globalsOf({ configFile, clusterName, repositoryName }: CommandTarget): string[] {
  return ['--config', configFile, '--cluster', clusterName, '--repository', repositoryName];
}

/** The words of archive_command; `quoteForCommandSetting` makes the setting of them. */
export function archiveArguments(target: CommandTarget): string[] {
  const { archiveWrapper, node, main } = selfInvocation();
  return [archiveWrapper, node, main, ...globalsOf(target), '--', '%p'];
}

/** The words of restore_command for one planned recovery: its epoch, what the archive held when it was planned, and how far it goes. */
export function restoreArguments(
  target: CommandTarget,
  recovery: {
    readonly epoch: number;
    readonly frozen?: string | undefined;
    /** The last segment it needs. */
    readonly last?: string | undefined;
    readonly withoutStores?: readonly string[] | undefined;
  },
): string[] {
  const { restoreWrapper, node, main } = selfInvocation();
  const frozen = recovery.frozen === undefined ? [] : ['--frozen', recovery.frozen];
  const last = recovery.last === undefined ? [] : ['--last', recovery.last];
  const without = (recovery.withoutStores ?? []).flatMap((name) => ['--without-store', name]);
  const options = [...globalsOf(target), '--epoch', String(recovery.epoch), ...frozen, ...last, ...without];
  return [restoreWrapper, node, main, ...options, '--', '%f', '%p'];
}

/** Runs commands of this installation as a user would and gives what `--json` prints; a fault is told in its own words. */
export function childKeyframe(
  identity: { readonly uid: number; readonly gid: number } | undefined,
  signal: AbortSignal,
): (args: readonly string[]) => Promise<Readonly<Record<string, unknown>>> {
  const { node, nodeArguments, main } = selfInvocation();
  return async (args) => {
    const { execFile } = await import('node:child_process');
    const { KeyframeError } = await import('@keyframe/contracts');
    return new Promise((resolve, reject) => {
      const done = (cause: Error | null, stdout: string, stderr: string): void => {
        if (cause === null) resolve(JSON.parse(stdout) as Readonly<Record<string, unknown>>);
        else reject(new KeyframeError('INTERNAL', `keyframe ${args.join(' ')} failed: ${stdout}${stderr}`, { cause }));
      };
      execFile(node, [...nodeArguments, main, '--json', ...args], { ...identity, signal, maxBuffer: 64 << 20 }, done);
    });
  };
}
