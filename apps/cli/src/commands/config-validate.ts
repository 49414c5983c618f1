import { isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { Environment } from '@keyframe/runtime';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

export const command: Command = defineCommand({
  name: 'config validate',
  summary: 'Check the config file: shape, references, secrets and the options of every plugin',
  description: `Reports every problem at once, each with its path, line and column, the reason and what to do.

Nothing is connected to: \`keyframe doctor\` checks the server and the repository.`,
  examples: [
    { run: 'keyframe config validate' },
    { run: 'keyframe config validate --config /etc/keyframe/keyframe.yaml --json', note: 'for a deployment check' },
  ],
  positionals: [],
  options: {},
  exits: { 0: 'the file is valid', ...FAULT_EXITS },
  async run({ configuration, environment }) {
    const { file, clusters, repositories } = await configuration();
    for (const { name, source } of clusters.values()) await checkUrl(name, source.url?.reveal(), environment);
    return {
      exit: 0,
      report: {
        file,
        clusters: [...clusters.values()].map(({ name, source, repository, walTimeoutMs, maxRateBytes }) => ({
          name,
          url: source.displayUrl,
          dataDirectory: source.dataDirectory,
          repository,
          walTimeoutMs,
          maxRateBytes,
        })),
        repositories: [...repositories.values()].map(({ name, stores, writeRule, compress }) => ({
          name,
          stores: stores.map((store) => ({ name: store.name, plugin: store.pluginName })),
          quorum: writeRule.quorum,
          lead: writeRule.lead,
          compress: compress.pluginName,
        })),
      },
    };
  },
  renderText(report, out) {
    out.line(`${report.file} is ${out.style('good', 'valid')}`);
    out.line();
    const { clusters, repositories } = report;
    out.table(
      ['cluster', 'source', 'repository'],
      clusters.map(({ name, url, repository }) => [name, url ?? 'PG* variables and defaults', repository]),
    );
    out.line();
    out.table(
      ['repository', 'stores', 'a write needs', 'compress'],
      repositories.map(({ name, stores, quorum, lead, compress }) => [
        name,
        stores.map((store) => `${store.name} (${store.plugin})`).join(', '),
        lead ?? `${quorum} of ${stores.length}`,
        compress,
      ]),
    );
  },
});

/** A port that is none or a misspelt parameter would else be told by the first backup, at night. */
async function checkUrl(cluster: string, url: string | undefined, environment: Environment): Promise<void> {
  const { resolveConnection } = await import('@keyframe/postgres');
  try {
    await resolveConnection(url, environment);
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    throw new KeyframeError('CONFIG_INVALID', `clusters.${cluster}.source.url: ${error.message}`, {
      cause: error,
      hint: error.hint,
    });
  }
}
