import { readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Abortable, formatLsn, hasCode, KeyframeError } from '@keyframe/contracts';
import { type ControlData, readControlFile } from '../control/control-file.ts';
import { readPostmaster } from '../local/postmaster.ts';
import type { SqlSession } from '../sql/session.ts';
import { fileFault } from './file-fault.ts';

/** A checkpoint may come between the question to the server and the look at its file. */
const ATTEMPTS = 20;
const PAUSE_MS = 50;
/** postmaster.pid tells when the postmaster began, SQL when it had its memory: on large machines some minutes later. */
const LONGEST_START_SECONDS = 600;

interface ServerIdentity {
  readonly system: string;
  readonly checkpoint: string;
  readonly port: string;
  readonly started: string;
}

/** A data directory that is proven to be that of a running server. */
export interface ProvenDirectory {
  /** Absolute, links resolved. */
  readonly root: string;
  readonly control: ControlData;
}

/**
 * Proves that a data directory is the one the server works on: a standby beside its primary, a restored copy or another
 * cluster would give a backup whose label belongs to other files.
 * @throws {KeyframeError} WRONG_CLUSTER, ACCESS_DENIED, NOT_FOUND, UNSUPPORTED
 */
export async function proveDirectory(
  sql: SqlSession,
  dataDirectory: string,
  { signal }: Abortable,
): Promise<ProvenDirectory> {
  const root = await realpath(dataDirectory).catch((error: unknown) => {
    throw fileFault(error, dataDirectory);
  });
  for (let attempt = 1; ; attempt += 1) {
    const server = await askServer(sql);
    await compareProcess(root, server);
    const control = await readControlOf(root);
    if (control?.systemIdentifier !== undefined && control.systemIdentifier !== server.system)
      throw wrong(root, `it has system identifier ${control.systemIdentifier}, the server ${server.system}`);
    if (control !== undefined && formatLsn(control.checkpoint) === server.checkpoint) return { root, control };
    if (attempt === ATTEMPTS) {
      const seen = control === undefined ? 'unreadable' : formatLsn(control.checkpoint);
      throw wrong(root, `its latest checkpoint is ${seen}, that of the server ${server.checkpoint}`);
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}

async function askServer(sql: SqlSession): Promise<ServerIdentity> {
  const [row] = await sql.query<ServerIdentity>(
    `select s.system_identifier::text as system, c.checkpoint_lsn::text as checkpoint,
            current_setting('port') as port, floor(extract(epoch from pg_postmaster_start_time()))::text as started
       from pg_control_system() s, pg_control_checkpoint() c`,
  );
  if (row !== undefined) return row;
  throw new KeyframeError('SERVER_ERROR', 'the server did not say which cluster it is', {
    hint: 'Run `select * from pg_control_system()` as the role of source.url.',
  });
}

/** Of two servers on one machine, one has another port; of two in containers, one began at another time. */
async function compareProcess(root: string, server: ServerIdentity): Promise<void> {
  const postmaster = await readPostmaster(root).catch((error: unknown) => {
    throw fileFault(error, path.join(root, 'postmaster.pid'));
  });
  if (postmaster === undefined) throw wrong(root, 'no server runs on it: it has no postmaster.pid');
  if (postmaster.port !== undefined && String(postmaster.port) !== server.port)
    throw wrong(root, `the server on it has port ${postmaster.port}, the connected one ${server.port}`);
  const after = Number(server.started) - postmaster.startedAtSeconds;
  if (after < -1 || after > LONGEST_START_SECONDS) throw wrong(root, 'the server on it was started at another time');
}

/** `undefined` when it was being written at this moment. */
async function readControlOf(root: string): Promise<ControlData | undefined> {
  const place = path.join(root, 'global', 'pg_control');
  try {
    return readControlFile(await readFile(place));
  } catch (error) {
    if (hasCode(error, 'CORRUPT')) return undefined;
    throw fileFault(error, place);
  }
}

function wrong(root: string, why: string): KeyframeError {
  return new KeyframeError('WRONG_CLUSTER', `${root} is not the data directory of the connected server: ${why}`, {
    hint: 'Correct the data directory or source.url: `show data_directory` tells where the server has it.',
  });
}
