import type { Abortable } from '@keyframe/contracts';
import { hitsOfFile } from './check-chain.ts';
import { coursesOf } from './courses.ts';
import type { Findings } from './findings.ts';
import type { EpochSurvey } from './survey.ts';

/** An expiry may have gone on meanwhile: what is missing only because of that is no finding. */
export async function settle(surveys: readonly EpochSurvey[], findings: Findings, options: Abortable): Promise<void> {
  if (findings.all.length === 0) return;
  const gone = new Set<string>();
  for (const epoch of surveys) {
    const { archive, records, histories } = epoch;
    const now = await archive.backups.list({ ...options, onDamage: () => undefined });
    const labels = new Set(now.map(({ label }) => label));
    const removed = records.filter(({ label }) => !labels.has(label));
    if (removed.length === 0) continue;
    for (const { label } of removed) gone.add(label);
    const left = { ...epoch, courses: coursesOf(histories, now) };
    findings.drop(({ object }) => {
      const name = object.slice(object.lastIndexOf('/') + 1);
      return epoch.wal.has(name) && hitsOfFile(left, name).moments.length === 0;
    });
  }
  if (gone.size === 0) return;
  findings.drop(({ backups }) => backups.length > 0 && backups.every((label) => gone.has(label)));
  findings.remark(
    `${[...gone].join(', ')} were removed while this ran, and are not judged`,
    'Run `keyframe verify` again if no expiry was under way.',
  );
}
