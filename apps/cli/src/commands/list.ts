import type { KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatSize, formatTime } from '../output/format.ts';
import { formatKnownDamage, healedFrom } from '../output/known-damage.ts';
import { type BackupReport, describeBackup, formatDamage, formatOverhead } from '../output/backup-report.ts';

export const command: Command = defineCommand({
  name: 'list',
  summary: 'List the backups of a cluster',
  description: `Shows published backups in the order they stopped, and below them those that are expired and can still be brought back, and what interrupted backups left behind.

Below them stand backups that need packs which a verification found damaged or missing, as far as that is known, and from which backup on none does.

Every backup is restored by itself, whatever it builds on. \`size\` is what a restore writes, \`stored\` what the backup added to the repository, \`reused\` what it found there already, and \`scatter\` what a restore reads beyond what it needs.`,
  examples: [{ run: 'keyframe list' }, { run: 'keyframe list --json' }],
  positionals: [],
  options: {},
  exits: { 0: 'listed; also when there is none', 4: 'a backup record is damaged', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    const { damagedBackups, expiredBackups } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const backups: BackupReport[] = [];
    const unfinished = [];
    const damaged: KeyframeError[] = [];
    const onDamage = (fault: KeyframeError): void => void damaged.push(fault);
    for (const { number } of await history.epochs({ signal })) {
      const archive = await history.at(number, { signal });
      backups.push(...(await archive.backups.list({ signal, onDamage })).map(describeBackup));
      unfinished.push(...(await archive.backups.unfinished({ signal })));
    }
    return {
      exit: damaged.length === 0 ? 0 : 4,
      report: {
        cluster: app.clusterName,
        repository: app.repositoryName,
        backups,
        expired: await expiredBackups(history, { signal }),
        damaged: damaged.map(({ message, hint }) => ({ message, hint })),
        knownDamage: await damagedBackups(history, { signal }),
        unfinished: unfinished.map(({ label, startedAt, holder, storedBytes }) => ({
          label,
          startedAt,
          host: holder.host,
          storedBytes,
        })),
      },
    };
  },
  renderText({ cluster, repository, backups, expired, damaged, knownDamage, unfinished }, out) {
    if (backups.length === 0) out.line(`no backup of ${cluster} in ${repository}: run keyframe backup`);
    out.table(
      [
        'backup',
        'stopped (UTC)',
        'read by',
        'timeline',
        'start LSN',
        'stop LSN',
        'size',
        'stored',
        'reused',
        'scatter',
      ],
      backups.map((each) => [
        each.label,
        formatTime(each.stoppedAt),
        each.method,
        String(each.timeline),
        each.startLsn,
        each.stopLsn,
        formatSize(each.sizeBytes),
        formatSize(each.storedBytes),
        formatSize(each.reusedBytes),
        formatOverhead(each),
      ]),
      { right: [3, 6, 7, 8, 9] },
    );
    for (const { label, markedAt } of expired)
      out.line(
        out.style('dim', `expired: ${label}, since ${formatTime(markedAt)}; keyframe undelete ${label} brings it back`),
      );
    for (const each of backups) {
      const damage = formatDamage(each);
      if (damage !== undefined) out.line(`${out.style('bad', each.label)}: ${damage}; keyframe show lists them`);
    }
    for (const { label } of backups) {
      const damage = formatKnownDamage(label, knownDamage);
      if (damage !== undefined) out.line(`${out.style('bad', label)}: ${damage}`);
    }
    if (knownDamage.length > 0) {
      const healed = healedFrom(backups, knownDamage);
      out.line(
        healed === undefined
          ? 'the newest backup needs damaged packs: run keyframe backup, which stores anew what lay there'
          : `${healed} and later ones need no damaged pack`,
      );
    }
    for (const { message, hint } of damaged) out.line(`${out.style('bad', 'damaged')}: ${message}; ${hint}`);
    for (const { label, startedAt, host, storedBytes } of unfinished)
      out.line(
        out.style(
          'dim',
          `not finished: ${label}, begun ${formatTime(startedAt)} on ${host}, ${formatSize(storedBytes)} stored; it cannot be restored`,
        ),
      );
  },
});
