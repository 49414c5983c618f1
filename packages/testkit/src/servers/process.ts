import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../runner.ts';

/** Something that runs for a test, and ends with it. */
export interface Running extends AsyncDisposable {
  readonly pid: number;
  /** On 127.0.0.1. */
  readonly port: number;
  /** Ends the process at once and waits until it is gone. */
  stop(): Promise<void>;
}

/** What to run once it is known which port is free. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

/** How often a port may be taken by another between our choice and the server's start. */
const ATTEMPTS = 3;
const READY_MS = 60_000;
/** As much of what a server says as an error quotes. */
const QUOTED = 2000;

const alive = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of alive) child.kill('SIGKILL');
};

/** Starts a server on a free port of the loopback, or on the one it had before, and waits until it takes connections. */
export async function startServer(
  commandFor: (port: number) => Command | Promise<Command>,
  before?: number,
): Promise<Running> {
  for (let attempt = 1; ; attempt += 1) {
    const port = before ?? (await freePort());
    const command = await commandFor(port);
    try {
      return await startOn(port, command);
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

async function startOn(port: number, { command, args, environment }: Command): Promise<Running> {
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (alive.size === 0) process.once('exit', killAll);
  alive.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-QUOTED);
    });
  let failed: Error | undefined;
  child.once('error', (error) => {
    failed = error;
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', resolve);
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    alive.delete(child);
    if (alive.size === 0) process.off('exit', killAll);
  };
  const deadline = Date.now() + READY_MS;
  while (!(await accepts(port))) {
    const over = failed !== undefined || child.exitCode !== null || child.signalCode !== null;
    if (!over && Date.now() < deadline) {
      await sleep(25);
      continue;
    }
    await stop();
    throw new Error(`${command} does not listen on port ${port}: ${failed?.message ?? said.trim()}`);
  }
  return { pid: child.pid ?? 0, port, stop, [Symbol.asyncDispose]: stop };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => answer(true)).once('error', () => answer(false));
  });
}
