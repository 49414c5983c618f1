import { KeyframeError } from '@keyframe/contracts';
import type { Configuration, RepositoryConfiguration } from '@keyframe/runtime';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { printStoreReport } from '../output/store-report.ts';

const EXITS = { good: 0, limited: 3, broken: 4 } as const;

type ConfiguredStore = RepositoryConfiguration['stores'][number];

/** @throws {KeyframeError} INVALID_OPTION when no store, or more than one, is called that */
function storeNamed(
  configuration: Configuration,
  name: string,
  repository: string | undefined,
): [string, ConfiguredStore] {
  const all = [...configuration.repositories.values()].flatMap((each) =>
    each.stores.map((store): [string, ConfiguredStore] => [each.name, store]),
  );
  const found = all.filter(([of, store]) => store.name === name && (repository ?? of) === of);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const names = all.map(([of, store]) => `${store.name} (${of})`).join(', ');
  throw new KeyframeError(
    'INVALID_OPTION',
    found.length === 0 ? `there is no store ${JSON.stringify(name)}` : `several repositories have a store ${name}`,
    { hint: `Name one of ${names}; choose with --repository where a name is there twice.` },
  );
}

export const command: Command = defineCommand({
  name: 'check store',
  summary: 'Try out a store: does it keep its contract, how fast is it, and what does Keyframe make of that',
  description: `Runs the contract cases that every store adapter is tested with, and measures latency, throughput, writers that create one object at once, listings right after writes and deletes, reads of parts, and how far the store's clock is from ours. The store is one that the config file names; it may be in use.

It writes some 2,000 small objects and 50 MB, all below the prefix, and removes everything again, versions and markers too, also when it is interrupted; what a check that was killed has left is removed by the next one. Rules of the bucket are read, never changed. The credentials must be allowed to delete.

Where the bucket itself locks every object for a time the check refuses to run: it could not clean up.`,
  examples: [
    { run: 'keyframe check store minio' },
    { run: 'keyframe check store minio --prefix tmp/ --json', note: 'every case and figure, for scripts' },
  ],
  positionals: [
    { name: 'name', description: 'name of the store: its `name` in the config file, else what `use` says' },
  ],
  options: {
    prefix: {
      kind: 'string',
      flag: '--prefix',
      value: 'prefix',
      default: 'keyframe-check/',
      description: 'where it may write, within the store',
    },
  },
  exits: {
    0: 'the store keeps its contract, and Keyframe can use it to the full',
    3: 'it keeps its contract, and Keyframe has to do with less; or its clock is off',
    4: 'it breaks its contract: do not use it',
    ...FAULT_EXITS,
  },
  async run({ configuration, host, globals, options, positionals, signal, progress }) {
    const { checkStore } = await import('@keyframe/testkit');
    const [repository, store] = storeNamed(await configuration(), positionals.name, globals.repository);
    const lent = await host();
    const task = progress.task('checking', { unit: 'items', total: 100 });
    try {
      const report = await checkStore({
        make: () => store.create(lent),
        prefix: `${options.prefix.replace(/\/+$/, '')}/`,
        signal,
        onStep: (what, done) => {
          task.update(Math.round(done * 100));
          task.note(what);
        },
      });
      return { exit: EXITS[report.verdict], report: { store: store.name, repository, ...report } };
    } finally {
      task.finish();
    }
  },
  renderText: printStoreReport,
});
