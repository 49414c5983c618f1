import { counted, KeyframeError } from '@keyframe/contracts';
import type { App } from '@keyframe/runtime';
import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';
import { formatSize } from '../output/format.ts';

interface Report {
  readonly repository: string;
  readonly id: string;
  /** Name of the store where there is only one: then there is nothing to compare. */
  readonly single: string | undefined;
  readonly status: Awaited<ReturnType<NonNullable<App['mirror']>['status']>> | undefined;
}

const MARKS = {
  ok: 'good',
  behind: 'warning',
  conflict: 'bad',
  empty: 'bad',
  foreign: 'bad',
  unreachable: 'bad',
  'left-out': 'dim',
} as const;

export const command: Command = defineCommand({
  name: 'repository status',
  summary: 'Compare what the stores of the repository hold',
  description: `Asks every store which repository it holds and lists them all, side by side. Reads no content but where one name has objects of different sizes, and changes nothing.

The health of a store is \`ok\`; \`behind\`: it lacks objects; \`conflict\`; \`empty\`: it holds no repository, as a file system that is not mounted; \`foreign\`: it holds another repository; \`unreachable\`: it did not answer.

A store that lacks objects is brought up by \`keyframe repository sync\`. Two objects under one name that both prove themselves are a conflict: no store can tell which one is right, so both stay as they are.`,
  examples: [
    { run: 'keyframe repository status' },
    { run: 'keyframe repository status --json', note: 'for monitoring; the status says whether all is well' },
  ],
  positionals: [],
  options: {},
  exits: {
    0: 'every store holds everything',
    3: 'a store is behind, out of reach or holds something else',
    ...FAULT_EXITS,
  },
  async run({ openApp, signal, progress }) {
    const app = await openApp();
    const { mirror, repositoryName } = app;
    if (mirror === undefined) {
      const { id } = await app.repository.identity({ signal });
      const names = app.rawStores.map(({ name }) => name);
      const report: Report = { repository: repositoryName, id, single: names.join(), status: undefined };
      return { exit: 0, report };
    }
    const task = progress.task('listing', { unit: 'items' });
    const status = await mirror.status({ signal, onProgress: (objects) => task.update(objects, undefined) });
    task.finish();
    if (status.repositoryId === undefined)
      throw new KeyframeError('REPOSITORY_MISSING', `there is no repository on the stores of ${repositoryName}`, {
        hint: 'Check that they are mounted and configured right; only if there never was one run `keyframe repository create`.',
      });
    const well = status.stores.every(({ health }) => health === 'ok');
    const report: Report = { repository: repositoryName, id: status.repositoryId, single: undefined, status };
    return { exit: well ? 0 : 3, report };
  },
  renderText({ repository, id, single, status }, out) {
    if (status === undefined) {
      out.line(`repository ${out.style('strong', repository)} (${id}) has one store, ${single}: nothing to compare`);
      return;
    }
    const { quorum, lead, stores, conflicts, objects, writable } = status;
    const rule = lead === undefined ? `${quorum} of ${stores.length}` : `the lead ${lead}`;
    out.line(
      `repository ${out.style('strong', repository)} (${id}): ${counted(objects, 'object')}; a write counts once ${rule} has it`,
    );
    if (!writable) out.line(out.style('bad', 'nothing can be written now: too few stores answer'));
    out.line();
    out.table(
      ['store', 'health', 'objects', 'size', 'missing', 'missing size', 'in journal'],
      stores.map((store) => [
        store.lead ? `${store.name} (lead)` : store.name,
        out.style(MARKS[store.health], store.health),
        String(store.objects),
        formatSize(store.bytes),
        String(store.missingObjects),
        formatSize(store.missingBytes),
        String(store.journalled),
      ]),
      { right: [2, 3, 4, 5, 6] },
    );
    for (const { name, fault } of stores) {
      if (fault === undefined) continue;
      out.line(`${name}: ${fault.message}`);
      if (fault.hint !== undefined) out.line(out.style('dim', `  ${fault.hint}`));
    }
    for (const { key, stores: where } of conflicts)
      out.line(`${out.style('bad', 'conflict')} ${key}: different objects on ${where.join(', ')}; none is changed`);
    if (stores.some(({ health }) => health === 'behind'))
      out.line('`keyframe repository sync` brings up what is behind.');
  },
});
