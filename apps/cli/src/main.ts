#!/usr/bin/env node
/** The process: streams, signals, status. It loads nothing but what the first words ask for. @packageDocumentation */
import module from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';

// Compiled code is kept in a directory of this user: Node's own default, under /tmp, could be prepared by another.
const { XDG_CACHE_HOME, HOME, NODE_COMPILE_CACHE } = process.env;
const caches = XDG_CACHE_HOME ?? (HOME === undefined ? undefined : path.join(HOME, '.cache'));
if (NODE_COMPILE_CACHE === undefined && caches !== undefined) module.enableCompileCache(path.join(caches, 'keyframe'));

// zstd, SHA and file access run in libuv's pool; it reads this once, when first used.
process.env['UV_THREADPOOL_SIZE'] ??= String(Math.min(16, Math.max(4, availableParallelism())));

const abort = new AbortController();
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
for (const [name, status] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    // Who asks twice does not want to wait for the clean-up.
    if (abort.signal.aborted) process.exit(status);
    abort.abort(new DOMException(name, 'AbortError'));
  });
}

// `keyframe list | head` closes our stdout: that is no fault, and nothing is left to say.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

const { runKeyframe } = await import('./run.ts');
const status = await runKeyframe({
  argv: process.argv.slice(2),
  environment: process.env,
  cwd: process.cwd(),
  stdout: process.stdout,
  stderr: process.stderr,
  signal: abort.signal,
});
// Both streams end when their last byte is out; then nothing that a library left behind may keep the process alive.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
process.exit(status);
