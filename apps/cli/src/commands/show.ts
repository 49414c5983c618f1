import { counted, KeyframeError } from '@keyframe/contracts';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatSize, formatTime } from '../output/format.ts';
import { formatRenewed } from '../output/known-damage.ts';
import { type BackupReport, describeBackup, formatDamage, formatOverhead } from '../output/backup-report.ts';

export const command: Command = defineCommand({
  name: 'show',
  summary: 'Show one backup in detail',
  examples: [
    { run: 'keyframe show 20261124T051750Z-full' },
    { run: 'keyframe show 20261124T051750Z-full --files', note: 'with every file in it' },
  ],
  positionals: [{ name: 'label', description: 'label of the backup, or latest' }],
  options: { files: { kind: 'boolean', flag: '--files', description: 'list every file of the backup' } },
  exits: { 0: 'shown', 4: 'its record or manifest is damaged', ...FAULT_EXITS },
  async run({ openApp, options, positionals, signal }) {
    const { damagedBackups, findBackup } = await import('@keyframe/engine');
    const app = await openApp();
    await app.repository.identity({ signal });
    const history = app.repository.cluster(app.clusterName);
    const { archive, record } = await findBackup(history, positionals.label, { signal });
    const known = await damagedBackups(history, { signal });
    const files: { path: string; sizeBytes: number; mode: string }[] = [];
    if (options.files) {
      const manifest = await archive.backups.manifest(record, { signal });
      for await (const entry of manifest.entries({ signal }))
        if (entry.type === 'file')
          files.push({ path: entry.path, sizeBytes: entry.sizeBytes, mode: entry.mode.toString(8) });
    }
    const manifest = { key: record.manifest.key, sizeBytes: record.manifest.sizeBytes, sha256: record.manifest.sha256 };
    return {
      exit: 0,
      report: {
        ...describeBackup(record),
        manifest,
        backupLabel: record.backupLabel,
        knownDamage: known.filter(({ backups }) => backups.includes(record.label)),
        ...(options.files ? { fileList: files } : {}),
      },
    };
  },
  renderText(report, out) {
    out.fields([
      ['backup', report.label],
      [
        'type',
        `${report.type}, read by ${report.method}${report.parent === undefined ? '' : `, built on ${report.parent}`}`,
      ],
      ['cluster', `${report.cluster} (epoch ${report.epoch}, system identifier ${report.systemIdentifier})`],
      ['PostgreSQL', version(report.postgresVersion)],
      ['started', formatTime(report.startedAt)],
      ['stopped', formatTime(report.stoppedAt)],
      ['WAL', `${report.startLsn} to ${report.stopLsn} on timeline ${report.timeline}`],
      ['size', `${formatSize(report.sizeBytes)} in ${counted(report.files, 'file')}`],
      ['stored', `${formatSize(report.storedBytes)} in ${counted(report.packs, 'pack')}`],
      ...reuse(report),
      ['healed', formatRenewed(report)],
      ['checksums', checksums(report)],
      ...report.tablespaces.map(({ oid, location }) => ['tablespace', `${oid} at ${location}`] as const),
      ['manifest', `${report.manifest.key}, sha256 ${report.manifest.sha256}`],
      ['taken by', report.tool],
    ]);
    for (const { pack, what, foundAt } of report.knownDamage)
      out.line(`${out.style('bad', 'damaged')}: it needs ${pack}: ${what} (found ${formatTime(foundAt)})`);
    for (const { path, block, relation } of report.damagedPages ?? [])
      out.line(
        `${out.style('bad', 'damaged')}: page ${block} of ${path}${relation === undefined ? '' : ` (${relation})`}`,
      );
    if (report.fileList === undefined) return;
    out.line();
    out.table(
      ['file', 'bytes', 'mode'],
      report.fileList.map(({ path, sizeBytes, mode }) => [path, String(sizeBytes), mode]),
      { right: [1] },
    );
  },
});

/** What it has in common with earlier backups; a restore needs none of their records. */
function reuse(report: BackupReport): (readonly [string, string])[] {
  if (report.reusedBytes === 0) return [];
  const packs = report.fragmentation?.otherPacks;
  const where = packs === undefined ? '' : ` in ${counted(packs, 'pack')} of earlier backups`;
  const overhead = formatOverhead(report);
  return [
    ['reused', `${formatSize(report.reusedBytes)}${where}`],
    ...(overhead === '' ? [] : [['scatter', `a restore reads ${overhead} of what it needs`] as const]),
  ];
}

function checksums(report: BackupReport): string {
  if (!report.dataChecksums) return 'data checksums are off';
  if (report.damagedPageCount === undefined) return 'data checksums are on';
  return formatDamage(report) ?? 'data checksums are on, and every page that was read is right';
}

function version(number: number): string {
  if (number < 100_000) throw new KeyframeError('CORRUPT', `the backup names PostgreSQL version ${number}`);
  const minor = number % 10_000;
  return minor === 0 ? String(number / 10_000) : `${Math.floor(number / 10_000)}.${minor}`;
}
