/** What `verify` found wrong of packs, for those who choose a backup. @packageDocumentation */
import type { KnownPackDamage } from '@keyframe/engine';
import { formatSize, formatTime } from './format.ts';
import type { BackupReport } from './backup-report.ts';

/** Damage of packs that a backup needs, in one line; `undefined` when none is known. */
export function formatKnownDamage(label: string, damage: readonly KnownPackDamage[]): string | undefined {
  const hit = damage.filter(({ backups }) => backups.includes(label));
  const [first] = hit;
  if (first === undefined) return undefined;
  const packs = hit.length === 1 ? 'a pack that is' : `${hit.length} packs that are`;
  const oldest = hit.reduce((least, { foundAt }) => (foundAt < least ? foundAt : least), first.foundAt);
  return `it needs ${packs} damaged or missing, found ${formatTime(oldest)}: ${first.pack}: ${first.what}`;
}

/** What was stored anew instead of taken from packs that are damaged or gone. */
export function formatRenewed({ renewedBytes = 0 }: Pick<BackupReport, 'renewedBytes'>): string | undefined {
  if (renewedBytes === 0) return undefined;
  return `${formatSize(renewedBytes)} stored anew, since packs of earlier backups that held it are damaged or missing`;
}

/** The first backup from which on none needs what is damaged; `undefined` when the newest does. */
export function healedFrom(
  backups: readonly Pick<BackupReport, 'label'>[],
  damage: readonly KnownPackDamage[],
): string | undefined {
  const isHit = ({ label }: Pick<BackupReport, 'label'>): boolean =>
    damage.some((each) => each.backups.includes(label));
  return backups[backups.findLastIndex(isHit) + 1]?.label;
}
