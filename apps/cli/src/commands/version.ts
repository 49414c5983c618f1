import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'version',
  summary: 'Print the versions of keyframe and of the Node.js that runs it',
  examples: [{ run: 'keyframe version --json' }],
  positionals: [],
  options: {},
  exits: { 0: 'printed', ...FAULT_EXITS },
  async run() {
    const { VERSION } = await import('../version.ts');
    const { versions, platform, arch } = process;
    const report = { keyframe: VERSION, node: versions.node, zstd: versions['zstd'], platform: `${platform}-${arch}` };
    return { exit: 0, report };
  },
  renderText(report, out) {
    out.fields([
      ['keyframe', report.keyframe],
      ['node', report.node],
      ['zstd', report.zstd],
      ['platform', report.platform],
    ]);
  },
});
