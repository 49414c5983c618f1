/** Writes objects until it is killed, and prints a line for each that was acknowledged: `PORT USER DIRECTORY KEYFILE HOSTKEY`. @packageDocumentation */
import { readFile } from 'node:fs/promises';
import { Secret } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import plugin from '../src/index.ts';

const [port = '', user = '', directory = '', keyFile = '', hostKey = ''] = process.argv.slice(2);
const store = plugin.create(
  {
    host: '127.0.0.1',
    port: Number(port),
    user,
    directory,
    privateKey: new Secret(await readFile(keyFile, 'utf8')),
    passphrase: undefined,
    password: undefined,
    agent: undefined,
    hostKeys: [hostKey],
    knownHostsText: undefined,
    acceptAnyHostKey: false,
    sync: 'required',
    channels: 4,
    fileMode: 0o640,
    directoryMode: 0o750,
  },
  testHost(),
);
const content = bytesOf(Buffer.alloc(3_000_000, 7));
const write = async (writer: number): Promise<void> => {
  for (let number = 0; ; number += 1) {
    await store.put(`${writer}/${number}`, content, { ifAbsent: true });
    process.stdout.write(`${writer}/${number}\n`);
  }
};
await Promise.all([1, 2, 3].map(write));
