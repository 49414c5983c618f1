import type { App } from '@keyframe/runtime';

/** What may lie on the stores that are left out and nowhere else, one sentence each; nothing where none is. */
export function lostWith({ mirror, repositoryName }: App, without: readonly string[]): string[] {
  if (mirror === undefined || without.length === 0) return [];
  const { rule, members } = mirror;
  const holdsAlone =
    without.length >= rule.quorum && (rule.lead === undefined || without.includes(rule.lead)) && without.length > 0;
  const names = without.join(', ');
  const left = members.flatMap(({ name }) => (without.includes(name) ? [] : [name])).join(', ');
  const unacknowledged = `What PostgreSQL was not yet told to be archived may lie on ${names} alone: moments after the newest WAL that ${left} hold.`;
  if (!holdsAlone)
    return [
      `without ${names}: everything acknowledged in ${repositoryName} was also put on ${left}, unless it was lost there since`,
      unacknowledged,
    ];
  return [
    `without ${names}: a write counts in ${repositoryName} once these have it, so backups and WAL may lie on them alone`,
    `moments after the newest WAL that ${left} hold, and those for which a segment is missing there, may be recoverable from ${names} only`,
  ];
}
