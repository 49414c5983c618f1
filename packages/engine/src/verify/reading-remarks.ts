/** What is to be known of how objects were read. @packageDocumentation */
import type { Work } from './check-objects.ts';
import type { Choice } from './choice.ts';
import type { Findings } from './findings.ts';

/** When rot becomes worth a word. */
const LONG_AGO_MS = 90 * 86_400_000;

/** Says what was not decoded, and what was taken for right for long. */
export function tellReading(choice: Choice, { hashed, oldestMs }: Work, now: Date, findings: Findings): void {
  const isDeep = choice.level === 'content';
  if (hashed > 0 || (isDeep && choice.canDecode === false))
    findings.remark(
      'the repository is encrypted and this host cannot read it: hashes were checked, no frame or WAL record was decoded, and no more than that is remembered',
      'Run `keyframe verify --deep` on a host that has a key under `repositories.<name>.encrypt`.',
    );
  if (oldestMs !== undefined && now.getTime() - oldestMs > LONG_AGO_MS)
    findings.remark(
      `objects were taken for right by their ends that were last read on ${new Date(oldestMs).toISOString()}: bytes can rot since without a sign there`,
      `Read them again with \`keyframe verify${isDeep ? ' --deep' : ''} --since 90d\`.`,
    );
}
