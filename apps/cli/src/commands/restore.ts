import { resolve } from 'node:path';
import { counted, KeyframeError, type ThawSpeed } from '@keyframe/contracts';
import type { RecoveryPlan, StageOptions, StartedServer } from '@keyframe/engine';
import type { App } from '@keyframe/runtime';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatDuration, formatSize } from '../output/format.ts';
import type { TextOutput } from '../output/text.ts';
import { lostWith } from '../output/left-out-stores.ts';
import { renderPlan } from '../output/plan-report.ts';
import { TARGET_OPTIONS, targetInput } from './target-options.ts';

export const command: Command = defineCommand({
  name: 'restore',
  summary: 'Restore a backup into an empty directory, ready to recover to an exact moment',
  description: `Plans first (see \`keyframe plan\`) and refuses before it touches the directory. Then it writes the files, every byte verified, and the settings by which PostgreSQL replays WAL to the target.

The restored cluster has archive_mode = off: it never writes to the repository it came from until \`keyframe adopt\`. Interrupted, the same command can simply be run again. Nothing outside --to and the named tablespace directories is written.

With --delta an old data directory of the same cluster is made equal to the backup: every byte that is there is proven by its hash and stays, the rest is fetched, and files that the backup does not have are removed, WAL in pg_wal and configuration files included. It fits after an interrupted restore too, which then goes on where it was.`,
  examples: [
    { run: 'keyframe restore --time "2026-11-24 14:36:58+01" --to /var/lib/postgresql/restored --start' },
    { run: 'keyframe restore --latest --to /srv/pg --tablespace 16400=/srv/ts1', note: 'one tablespace elsewhere' },
    { run: 'keyframe restore --latest --to /srv/pg --delta', note: 'over the old files: only what differs is fetched' },
    { run: 'keyframe restore --name before_migration --to /srv/pg --action pause', note: 'look before you promote' },
  ],
  positionals: [],
  options: {
    ...TARGET_OPTIONS,
    to: {
      kind: 'string',
      flag: '--to',
      value: 'dir',
      required: true,
      description: 'the new data directory: absent or empty, unless --delta or --force is given',
    },
    force: { kind: 'boolean', flag: '--force', description: 'delete the stopped data directory that is there' },
    delta: {
      kind: 'boolean',
      flag: '--delta',
      description: 'reuse the stopped data directory of this cluster that is there, or an unfinished restore',
    },
    tablespace: {
      kind: 'repeatable',
      flag: '--tablespace',
      value: 'oid=dir',
      description: 'put that tablespace (oid, or the directory it had) into dir; repeatable',
    },
    action: {
      kind: 'string',
      flag: '--action',
      value: 'action',
      choices: ['promote', 'pause', 'shutdown'],
      default: 'promote',
      description: 'what PostgreSQL does at the target',
    },
    noSync: { kind: 'boolean', flag: '--no-sync', description: 'do not wait for the disk; only for throw-away copies' },
    start: { kind: 'boolean', flag: '--start', description: 'start PostgreSQL and wait until it accepts connections' },
    port: {
      kind: 'integer',
      flag: '--port',
      value: 'port',
      minimum: 1,
      maximum: 65_535,
      description: 'port for --start; default that of the restored configuration',
    },
    binDir: {
      kind: 'string',
      flag: '--bin-dir',
      value: 'dir',
      description: 'PostgreSQL programs for --start; default those found for its major',
    },
    thaw: {
      kind: 'string',
      flag: '--thaw',
      value: 'speed',
      choices: ['expedited', 'standard', 'bulk'],
      description: 'ask the store for packs that lie in an archive class, and wait until they can be read',
    },
    adopt: {
      kind: 'boolean',
      flag: '--adopt',
      description: 'with --start: make it the continuation of the cluster, see keyframe adopt',
    },
  },
  exits: {
    0: 'restored (and with --start: accepting connections)',
    4: 'something in the repository is damaged; the directory cannot be started',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, environment, signal, progress, log, cwd }) {
    const engine = await import('@keyframe/engine');
    const { localZone } = await import('../output/zone.ts');
    const { showEvents } = await import('../output/events.ts');
    const { archiveArguments, commandTarget, restoreArguments } = await import('../invocation.ts');
    refuseContradictions(options);
    const app = await openApp({ everyStore: true, withoutStores: options.withoutStore });
    const lost = lostWith(app, options.withoutStore);
    for (const line of lost) log.warn(line);
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const target = engine.parseTarget(targetInput(options), { localZone: localZone(), now: app.host.now });
    const shown = showEvents(progress, log);
    const started = performance.now();
    try {
      const stage = { signal, onEvent: shown.onEvent };
      const plan = await engine.planRecovery({ history }, { target, backup: options.backup }, stage);
      const start = { port: options.port, binDirectory: options.binDir, environment };
      if (options.start) await engine.checkStart(plan, start, stage);
      await assertReadable(app, plan, options, stage);
      const holder = await engine.thisProcess('keyframe restore');
      const self = commandTarget(app);
      const request = {
        directory: resolve(cwd, options.to),
        force: options.force,
        delta: options.delta,
        tablespaces: engine.parseTablespaceMap(options.tablespace, plan.backup),
        action: options.action,
        restoreCommand: restoreArguments(self, {
          epoch: plan.archive.epoch.number,
          frozen: plan.frozen,
          last: engine.describePlan(plan).wal.last,
          withoutStores: options.withoutStore,
        }),
        sync: !options.noSync,
      };
      const reading = { repository: app.repository, holder };
      const restored = await engine.announceRestore(reading, plan, () => engine.restore(plan, request, stage), stage);
      for (const warning of restored.warnings) log.warn(warning);
      const restoredMs = Math.round(performance.now() - started);
      const server = options.start
        ? await engine.startRestored(
            plan,
            {
              ...start,
              directory: restored.directory,
              tablespaceDirectories: Object.values(restored.tablespaces),
            },
            stage,
          )
        : undefined;
      const adopted = options.adopt
        ? await engine.adopt({ history, archiveCommand: archiveArguments(self) }, restored.directory, { signal })
        : undefined;
      const report = { plan: engine.describePlan(plan), ...restored, durationMs: restoredMs, server, adopted };
      return { exit: 0, report };
    } finally {
      shown.finish();
    }
  },
  renderText(report, out) {
    renderPlan(report.plan, out);
    out.line();
    out.line(
      `${out.style('good', 'restored')} ${formatSize(report.bytes)} in ${counted(report.files, 'file')} to ${out.style('strong', report.directory)} in ${formatDuration(report.durationMs)}`,
    );
    if (report.keptBytes > 0) out.line(`of this, ${formatSize(report.keptBytes)} was there already`);
    for (const [oid, directory] of Object.entries(report.tablespaces)) out.line(`tablespace ${oid} is in ${directory}`);
    if (report.server === undefined) {
      out.line(
        `Start it as the owner of the directory: pg_ctl -D ${report.directory} start; it replays WAL to the target by itself.`,
      );
      out.line('It archives nothing until `keyframe adopt` makes it the continuation of the cluster.');
      return;
    }
    renderServer(report.server, out);
    if (report.adopted === undefined)
      out.line('It archives nothing until `keyframe adopt` makes it the continuation of the cluster.');
    else
      out.line(
        `adopted as timeline ${report.adopted.timeline}; restart it, then run \`keyframe adopt\` again and \`keyframe backup\``,
      );
  },
});

function renderServer(server: StartedServer, out: TextOutput): void {
  const { state, version, pid, address, logFile, replayedTo, stopLine } = server;
  const is = state === 'shut-down' ? 'has shut down as it was told' : `runs as pid ${pid}, ${address}`;
  out.line(`${out.style('good', state)}: PostgreSQL ${version} ${is}, log ${logFile}`);
  // Only a finished recovery has told its last position.
  if (state === 'recovered' && replayedTo !== undefined)
    out.line(`replayed to ${replayedTo}${stopLine === undefined ? '' : `: ${stopLine}`}`);
  else if (stopLine !== undefined) out.line(stopLine);
  if (state !== 'paused') return;
  out.line(
    'Look at it, then `select pg_wal_replay_resume()` promotes it. What a lost transaction had locked stays locked',
  );
  out.line('until then: a query that waits needs an earlier target, such as --xid with the last transaction kept.');
}

/** Packs in an archive class are asked for and waited for, if the user said so. @throws {KeyframeError} ARCHIVED */
async function assertReadable(
  { rawStores }: App,
  plan: RecoveryPlan,
  { thaw, withoutStore }: { readonly thaw: ThawSpeed | undefined; readonly withoutStore: readonly string[] },
  stage: StageOptions,
): Promise<void> {
  const engine = await import('@keyframe/engine');
  const stores = rawStores.filter(({ name }) => !withoutStore.includes(name));
  const archived = await engine.archivedPacks(stores, plan, stage);
  if (archived === undefined) return;
  if (thaw === undefined) throw engine.notThawed(archived);
  await engine.thaw(stores, archived, thaw, stage);
}

function refuseContradictions(options: {
  readonly force: boolean;
  readonly delta: boolean;
  readonly start: boolean;
  readonly adopt: boolean;
  readonly port?: number | undefined;
  readonly binDir?: string | undefined;
}): void {
  if (options.force && options.delta)
    throw new KeyframeError('INVALID_OPTION', '--delta and --force exclude each other', {
      hint: 'Give --delta to reuse the data directory that is there, or --force to delete it first.',
    });
  if (options.start) return;
  if (options.adopt)
    throw new KeyframeError('INVALID_OPTION', '--adopt needs --start', {
      hint: 'Add --start, or run `keyframe adopt` once the restored cluster has been promoted.',
    });
  if (options.port === undefined && options.binDir === undefined) return;
  throw new KeyframeError('INVALID_OPTION', `${options.port === undefined ? '--bin-dir' : '--port'} needs --start`, {
    hint: 'Add --start, or leave it out and give the port to PostgreSQL when you start it.',
  });
}
