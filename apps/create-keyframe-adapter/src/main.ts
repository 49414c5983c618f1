#!/usr/bin/env node
/** `npm create keyframe-adapter`. @packageDocumentation */
import { parseArgs } from 'node:util';
import path from 'node:path';
import { createAdapter, isKind, isRunner, KINDS } from './create.ts';

const USAGE = `usage: npm create keyframe-adapter <name> -- --kind <kind> [--tests node|vitest] [--directory <path>]

  <name>       of the package, such as keyframe-store-tape or @acme/keyframe-store-tape
  --kind       ${KINDS.join(', ')}
  --tests      what runs the tests: Node's own runner (default) or vitest
  --directory  where it goes; default: the last part of the name
`;

function refuse(reason: string): never {
  process.stderr.write(`create-keyframe-adapter: ${reason}\n\n${USAGE}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        kind: { type: 'string' },
        tests: { type: 'string', default: 'node' },
        directory: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

const { values, positionals } = readArguments();
if (values.help === true) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [name, ...rest] = positionals;
const { kind, tests } = values;
if (name === undefined || rest.length > 0) refuse('name one package');
if (kind === undefined || !isKind(kind)) refuse(`--kind is one of ${KINDS.join(', ')}`);
if (!isRunner(tests)) refuse('--tests is node or vitest');
const directory = path.resolve(values.directory ?? name.slice(name.lastIndexOf('/') + 1));
try {
  await createAdapter({ name, kind, tests, directory });
} catch (error) {
  process.stderr.write(`create-keyframe-adapter: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
process.stdout.write(`${directory} holds ${name}. Next:

  cd ${path.relative('.', directory) || '.'}
  npm install
  npm test
`);
