// Compiles the page checks to WebAssembly and writes them as a TypeScript module, which every way to run and to pack
// Keyframe takes along like any other. The module is generated, never committed; scripts/bootstrap.sh calls this when the
// source is another one than the module's first line names: `node scripts/build-wasm.ts <key>`.
import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const SOURCE = 'packages/postgres/wasm/page.ts';
const MODULE = 'packages/postgres/src/page/generated-page-wasm.ts';
const root = fileURLToPath(new URL('..', import.meta.url));

const key = process.argv[2];
if (key === undefined) throw new Error('scripts/bootstrap.sh calls this with the key of the source');

let wasm: Uint8Array | undefined;
let said = '';
const { error } = await main(
  [
    SOURCE,
    '--baseDir',
    root,
    '--outFile',
    'page.wasm',
    ...'-O3 --noAssert --runtime stub --importMemory'.split(' '),
    '--enable',
    'simd',
  ],
  {
    stderr: { write: (text) => void (said += String(text)) },
    writeFile: (name, content) => {
      if (name.endsWith('.wasm') && typeof content !== 'string') wasm = content;
    },
  },
);
if (error !== null || wasm === undefined) throw new Error(`${SOURCE} does not compile:\n${said}`);

const lines = [
  `// ${key}`,
  `// Generated from ${SOURCE} by scripts/build-wasm.ts: run \`sh scripts/bootstrap.sh\`.`,
  '',
  '/** A WebAssembly module that judges pages, in base64. */',
  `export const PAGE_WASM: string =`,
  `  '${Buffer.from(wasm).toString('base64')}';`,
  '',
];
// Another process may read it at this moment.
const aside = `${root}${MODULE}.${process.pid}`;
await writeFile(aside, lines.join('\n'));
await rename(aside, `${root}${MODULE}`);
