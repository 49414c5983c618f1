#!/usr/bin/env node
/** The process: streams, signals, status. It loads nothing but what the first words ask for. @packageDocumentation */
import { statSync } from 'node:fs';
import module from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { boundYoungGeneration } from './garbage.ts';

// In package.json too. npm only warns of an older Node.js, and what would fail there says nothing about the reason.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `keyframe needs Node.js 24.15 or later; this is ${process.versions.node} (${process.execPath})\n`,
  );
  process.exit(1);
}

// Compiled code is kept where only this user can write, since it is executed later: not in Node's own place under /tmp,
// nor in the home of another (sudo may leave HOME as it was).
const { XDG_CACHE_HOME, HOME, NODE_COMPILE_CACHE } = process.env;
const caches = XDG_CACHE_HOME ?? HOME;
if (caches !== undefined && NODE_COMPILE_CACHE === undefined && isOurs(caches))
  module.enableCompileCache(path.join(caches, XDG_CACHE_HOME === undefined ? '.cache' : '', 'keyframe/code'));

// zstd, SHA and file access run in libuv's pool; it reads this once, when first used.
process.env['UV_THREADPOOL_SIZE'] ??= String(Math.min(16, Math.max(4, availableParallelism())));

boundYoungGeneration();

const abort = new AbortController();
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
for (const [name, status] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    // Who asks twice does not want to wait for the clean-up.
    if (abort.signal.aborted) leave(status);
    abort.abort(new DOMException(name, 'AbortError'));
  });
}

// `keyframe list | head` closes our stdout: that is no fault, and nothing is left to say.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  process.stderr.write(`keyframe: stdout cannot be written: ${error.message}\n`, () => process.exit(1));
});
// Talk is no reason to end a backup, be the disk of its log full.
process.stderr.on('error', () => undefined);

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
leave(status);

/**
 * A mount that hangs holds a thread of the pool for ever, and an orderly exit waits for every thread: a new program in our
 * place does not.
 */
function leave(exitStatus: number): void {
  const hanging = process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
  if (hanging) process.execve?.('/bin/sh', ['sh', '-c', `exit ${exitStatus}`], {});
  process.exit(exitStatus);
}

function isOurs(directory: string): boolean {
  try {
    return statSync(directory).uid === process.geteuid?.();
  } catch {
    // Absent or out of reach: then there is no cache, and nothing else changes.
    return false;
  }
}
