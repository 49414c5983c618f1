import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { renderReplication, replicationOf } from '../output/replication-report.ts';

export const command: Command = defineCommand({
  name: 'replication plan',
  summary: 'Show how the buckets copy themselves to another place, and what to set up',
  description: `For stores whose provider copies buckets by itself (S3 replication, GCS dual regions, Azure object replication): what is set up now, and the document that \`replication apply\` would send. Changes nothing.

Such copies follow the bucket, mistakes included, with a delay of minutes. Copies that are verified and counted are those of a second store in \`stores\`.`,
  examples: [{ run: 'keyframe replication plan' }],
  positionals: [],
  options: {},
  exits: { 0: 'shown', ...FAULT_EXITS },
  async run({ openApp, signal }) {
    return { exit: 0, report: { stores: await replicationOf((await openApp()).rawStores, { signal }) } };
  },
  renderText: ({ stores }, out) => renderReplication(stores, out),
});
