// Compiles what is WebAssembly and writes it as TypeScript modules, which every way to run and to pack Keyframe takes along
// like any other. The modules are generated, never committed; scripts/bootstrap.sh calls this when the sources are others than
// the modules' first lines name: `node scripts/build-wasm.ts <key>`.
import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const MODULES = [
  {
    source: 'packages/postgres/wasm/page.ts',
    module: 'packages/postgres/src/page/generated-page-wasm.ts',
    name: 'PAGE_WASM',
    does: 'judges pages',
  },
  {
    source: 'packages/wal/wasm/walk.ts',
    module: 'packages/wal/src/lens/generated-walk-wasm.ts',
    name: 'WALK_WASM',
    does: 'walks WAL records',
  },
];
const root = fileURLToPath(new URL('..', import.meta.url));

const key = process.argv[2];
if (key === undefined) throw new Error('scripts/bootstrap.sh calls this with the key of the source');

async function compile(source: string): Promise<Uint8Array> {
  let wasm: Uint8Array | undefined;
  let said = '';
  const { error } = await main(
    [
      source,
      '--baseDir',
      root,
      '--outFile',
      'module.wasm',
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
  if (error !== null || wasm === undefined) throw new Error(`${source} does not compile:\n${said}`);
  return wasm;
}

for (const { source, module, name, does } of MODULES) {
  const lines = [
    `// ${key}`,
    `// Generated from ${source} by scripts/build-wasm.ts: run \`sh scripts/bootstrap.sh\`.`,
    '',
    `/** A WebAssembly module that ${does}, in base64. */`,
    `export const ${name}: string =`,
    `  '${Buffer.from(await compile(source)).toString('base64')}';`,
    '',
  ];
  // Another process may read it at this moment.
  const aside = `${root}${module}.${process.pid}`;
  await writeFile(aside, lines.join('\n'));
  await rename(aside, `${root}${module}`);
}
