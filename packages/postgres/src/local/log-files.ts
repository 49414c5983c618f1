/**
 * Everything a starting server logs: standard error, and the files of its logging collector once that has taken over.
 * Log files are part of a base backup, so what stood in them before the start is left out.
 * @packageDocumentation
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { endOf, followLog, type LogTail } from './log.ts';

const KEPT = 200;

/** Call it before the start. */
export async function watchLogs(dataDirectory: string, logFile: string): Promise<LogTail> {
  const startedMs = Date.now();
  const before = await sizesBefore(dataDirectory);
  const standardError = followLog(logFile, await endOf(logFile));
  const recent: string[] = [];
  let collected: { readonly file: string; readonly tail: LogTail } | undefined;
  return {
    recent,
    async read(all = false) {
      const lines = [...(await standardError.read(all))];
      const file = await collectorFile(dataDirectory);
      if (file !== undefined && file !== collected?.file) {
        // Rotated: what it wrote last into the old one comes first.
        lines.push(...((await collected?.tail.read(true)) ?? []));
        const start = before.get(file) ?? ((await isOlder(file, startedMs)) ? await endOf(file) : 0);
        collected = { file, tail: followLog(file, start) };
      }
      lines.push(...((await collected?.tail.read(all)) ?? []));
      recent.push(...lines);
      recent.splice(0, recent.length - KEPT);
      return lines;
    },
  };
}

/** The file that the collector writes now; the postmaster removes the list of an earlier run when it starts. */
async function collectorFile(dataDirectory: string): Promise<string | undefined> {
  const list = await readFile(path.join(dataDirectory, 'current_logfiles'), 'utf8').catch(absent);
  const name = /^(?:stderr|csvlog|jsonlog) (.+)$/m.exec(list ?? '')?.[1];
  return name === undefined ? undefined : path.resolve(dataDirectory, name);
}

async function sizesBefore(dataDirectory: string): Promise<ReadonlyMap<string, number>> {
  const stale = await collectorFile(dataDirectory);
  const directory = stale === undefined ? path.join(dataDirectory, 'log') : path.dirname(stale);
  const names = (await readdir(directory).catch(absent)) ?? [];
  const files = names.map((name) => path.join(directory, name));
  return new Map(await Promise.all(files.map(async (file) => [file, await endOf(file)] as const)));
}

async function isOlder(file: string, timeMs: number): Promise<boolean> {
  const found = await stat(file).catch(absent);
  return found !== undefined && found.birthtimeMs < timeMs;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}
