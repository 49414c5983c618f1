import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderVerify } from '../output/verify-run.ts';
import { requestOf, VERIFY_OPTIONS } from './verify-options.ts';

export const command: Command = defineCommand({
  name: 'verify',
  summary: 'Prove that every object of the backups and of the WAL archive is there, whole and the one that was written',
  description: `Holds what the store lists against the manifests and the signed chain: every pack of every backup, WAL without a gap from each backup to the newest segment of every timeline, history files, signatures. Of each object it reads header, frame table and end; with --deep every byte, and every WAL record.

What was checked is remembered on this host (\`state\` in the config file), so the next run reads only the end of such an object, and the rest only when that has changed. --since checks again what was checked too long ago, --sample a random share. A run that was killed goes on where it was.

Where the repository has several stores, an object counts as there when one of them has it; --store proves what one store holds by itself.

What it costs is told before it begins; with --dry-run nothing more happens.`,
  examples: [
    { run: 'keyframe verify' },
    { run: 'keyframe verify --deep', note: 'every byte that was not read before' },
    { run: 'keyframe verify --deep --since 30d', note: 'and again what was read more than 30 days ago' },
    { run: 'keyframe verify --deep --sample 5%', note: 'every night another twentieth' },
  ],
  positionals: [
    {
      name: 'labels',
      description: 'only these backups, and the WAL all the same (default: all)',
      optional: true,
      variadic: true,
    },
  ],
  options: VERIFY_OPTIONS,
  exits: { 0: 'nothing is wrong', 4: 'something is missing, damaged, replaced or not signed', ...FAULT_EXITS },
  async run(context) {
    const { runVerify } = await import('../output/verify-run.ts');
    const { labels } = context.positionals;
    const request = { ...(await requestOf(context.options, new Date())), labels };
    return runVerify(context, request, context.options.store);
  },
  renderText: renderVerify,
});
