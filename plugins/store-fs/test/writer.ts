/** Writes objects, several at a time, until killed; prints the key of each once it is stored. @packageDocumentation */
import { createHash } from 'node:crypto';
import { textOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import plugin from '../src/index.ts';

const [, , directory = '', round = ''] = process.argv;
const store = plugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());

async function write(lane: number): Promise<void> {
  for (let count = 0; ; count += 1) {
    const key = `round-${round}/${lane}/${count % 3}/${count}`;
    const body = `${key} `.repeat(1 + ((count * 7919) % 20_000));
    const hash = createHash('sha256').update(body).digest('hex');
    await store.put(key, textOf(`${hash}\n${body}`), { ifAbsent: count % 2 === 0 });
    process.stdout.write(`${key}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(write));
