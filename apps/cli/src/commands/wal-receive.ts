import { join } from 'node:path';
import { formatLsn, type Log, type Lsn, lsn, parseLsn } from '@keyframe/contracts';
import type { ReceiveEvent } from '@keyframe/engine';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatSize } from '../output/format.ts';

export const command: Command = defineCommand({
  name: 'wal receive',
  summary: 'Stream WAL from a replication slot into the repository',
  description: `Runs until it is stopped. Whole segments are stored as archive_command stores them, and both may run at once; the open segment is stored in parts, every flushInterval or flushBytes, so that a lost host costs no more than that. With \`receive.synchronous: true\` everything is stored at once, and the server is told only then: with the slot's name in synchronous_standby_names a commit returns when the repository has it.

Where it goes on is read from the repository: killed at any moment, or started on another host, it loses nothing. It makes the slot if need be, follows promotions, and takes up on the new primary when the source url names several hosts.

SIGTERM and SIGINT end it in order: what has come is stored, and the server is told. With --json every event is a line on standard output, and the last line is the report.`,
  examples: [
    { run: 'keyframe wal receive' },
    { run: 'keyframe wal receive --once', note: 'up to what the server has now, then end' },
    { run: 'keyframe wal receive --json', note: 'events as lines of JSON' },
  ],
  positionals: [],
  options: {
    slot: {
      kind: 'string',
      flag: '--slot',
      value: 'name',
      description: 'replication slot; default `receive.slot` of the file, or keyframe_ and the name of the cluster',
    },
    until: {
      kind: 'string',
      flag: '--until',
      value: 'lsn',
      description: 'end when WAL up to there is stored',
    },
    once: {
      kind: 'boolean',
      flag: '--once',
      description: 'end when the WAL that the server has now is stored',
    },
  },
  exits: {
    0: 'stopped in order, or the end that was asked for is stored',
    3: 'the same, but WAL was lost between: no moment in the gap can be recovered',
    ...FAULT_EXITS,
  },
  async run({ openApp, options, signal, log, emit }) {
    const { receiveWal } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const { receive } = app.cluster;
    const until: Lsn | 'now' | undefined =
      options.until === undefined ? (options.once ? 'now' : undefined) : parseLsn(options.until);
    const report = await receiveWal(
      {
        history: app.repository.cluster(app.clusterName),
        target: await app.connectionTarget(),
        temporaryDirectory: join(await app.host.temporaryDirectory(), 'receive'),
      },
      { ...receive, slot: options.slot ?? receive.slot, until },
      {
        signal,
        onEvent: (event) => {
          emit(asText(event));
          show(event, log);
        },
      },
    );
    return { exit: report.gaps.length > 0 ? 3 : 0, report };
  },
  renderText({ slot, reason, durableLsn, segments, gaps }, out) {
    const end = durableLsn === undefined ? 'nothing was received' : `stored up to ${durableLsn}`;
    out.line(
      `${reason === 'reached' ? 'reached the end' : 'stopped'}: ${end}, ${segments} whole segments, slot ${slot}`,
    );
    for (const { timeline, from, to } of gaps)
      out.line(out.style('bad', `gap on timeline ${timeline}: from ${from} to ${to} nothing can be recovered`));
  },
});

/** LSNs as PostgreSQL writes them. */
function asText(event: ReceiveEvent): object {
  return Object.fromEntries(
    Object.entries(event).map(([name, value]) => [name, typeof value === 'bigint' ? formatLsn(lsn(value)) : value]),
  );
}

function show(event: ReceiveEvent, log: Log): void {
  switch (event.kind) {
    case 'streaming':
      log.info(
        `streaming timeline ${event.timeline} from ${formatLsn(event.lsn)}; stored up to ${formatLsn(event.durable)}`,
      );
      break;
    case 'durable':
      log.debug(`stored up to ${formatLsn(event.lsn)}, received up to ${formatLsn(event.receivedLsn)}`);
      break;
    case 'segment':
      log.info(`${event.name} ${event.outcome === 'archived' ? 'is stored' : 'was archived before'}`);
      break;
    case 'timeline':
      log.info(`timeline ${event.from} ended at ${formatLsn(event.lsn)}; going on with timeline ${event.to}`);
      break;
    case 'slot-created':
      log.info(
        `made the slot ${event.slot}${event.lsn === undefined ? '' : `, which keeps WAL from ${formatLsn(event.lsn)}`}`,
      );
      break;
    case 'disconnected':
      log.warn(`${event.message}; trying again in ${event.retryMs} ms`);
      break;
    case 'slot-lost':
    case 'slot':
    case 'gap':
    case 'store-waits':
    case 'warning':
      alarm(event, log);
  }
}

type Alarm = Extract<ReceiveEvent, { kind: 'slot-lost' | 'slot' | 'gap' | 'store-waits' | 'warning' }>;

function alarm(event: Alarm, log: Log): void {
  switch (event.kind) {
    case 'slot-lost':
      log.warn(`the slot ${event.slot} was lost: ${event.message}`);
      log.warn('hint: raise max_slot_wal_keep_size; what the archive lacks now is told as a gap');
      break;
    case 'slot':
      log.warn(
        `the slot ${event.slot} is ${event.walStatus}: it keeps ${formatSize(event.keptBytes ?? 0)}, and ${
          event.safeWalBytes === undefined
            ? 'nothing limits it'
            : `is lost after another ${formatSize(event.safeWalBytes)}`
        }`,
      );
      break;
    case 'gap':
      log.warn(
        `gap on timeline ${event.timeline}: WAL from ${formatLsn(event.from)} to ${formatLsn(event.to)} is neither on the server nor in the repository`,
      );
      log.warn(
        'hint: no moment in it can be recovered, and none after it from an earlier backup: run `keyframe backup` now',
      );
      break;
    case 'store-waits':
      log.warn(`the store does not take WAL since ${event.seconds} s: ${event.message}`);
      break;
    case 'warning':
      log.warn(event.message);
      if (event.hint !== undefined) log.warn(`hint: ${event.hint}`);
      break;
  }
}
