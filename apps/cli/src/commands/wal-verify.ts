import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderVerify } from '../output/verify-run.ts';
import { requestOf, VERIFY_OPTIONS } from './verify-options.ts';

export const command: Command = defineCommand({
  name: 'wal verify',
  summary: 'Prove that the WAL archive is whole: every segment there, unchanged, and without a gap after each backup',
  description:
    'The part of `keyframe verify` that looks at WAL: continuity from each backup to the newest segment of every timeline, history files, headers, and what the signed chain vouches for. With --deep every record is read and its CRC checked, across the boundaries of segments.',
  examples: [{ run: 'keyframe wal verify' }, { run: 'keyframe wal verify --deep' }],
  positionals: [],
  options: VERIFY_OPTIONS,
  exits: { 0: 'nothing is wrong', 4: 'WAL is missing, damaged or replaced', ...FAULT_EXITS },
  async run(context) {
    const { runVerify } = await import('../output/verify-run.ts');
    const request = { ...(await requestOf(context.options, new Date())), walOnly: true };
    return runVerify(context, request, context.options.store);
  },
  renderText: renderVerify,
});
