import { KeyframeError } from '@keyframe/contracts';

/** Status codes of SFTP version 3. `FAILURE` is everything that has no code of its own: a full disk, a name that is taken. */
export const Status = { NO_SUCH_FILE: 2, PERMISSION_DENIED: 3, FAILURE: 4, BAD_MESSAGE: 5, UNSUPPORTED: 8 } as const;

/** An answer of the server other than yes. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** What the server answered; `undefined` for anything else. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof StatusError ? error.status : undefined;
}

/** For `promise.catch(ignoringStatus(Status.NO_SUCH_FILE))`: those answers become `undefined`, every other fault stays one. */
export function ignoringStatus(...codes: readonly number[]): (error: unknown) => undefined {
  return (error) => {
    const code = statusOf(error);
    if (code === undefined || !codes.includes(code)) throw error;
  };
}

/** What an answer is about. */
export interface Place {
  readonly key: string;
  readonly path: string;
}

/** Runs `action`, turning an answer of the server into a {@link KeyframeError} about `place`. Anything else passes through. */
export async function translated<T>(place: Place, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw translate(place, error);
  }
}

/** The {@link KeyframeError} for an answer of the server; any other fault as it is. */
export function translate({ key, path }: Place, cause: unknown): unknown {
  const status = statusOf(cause);
  if (status === undefined) return cause;
  const init = { cause, details: { key, path, status } };
  switch (status) {
    case Status.NO_SUCH_FILE:
      return new KeyframeError('NOT_FOUND', `object '${key}': not found`, init);
    case Status.PERMISSION_DENIED:
      return new KeyframeError('ACCESS_DENIED', `object '${key}': permission denied`, {
        ...init,
        hint: `Give the store's \`user\` the right to '${path}' on the server, by chown or chmod.`,
      });
    case Status.BAD_MESSAGE:
      return new KeyframeError('INVALID_OPTION', `object '${key}': the server takes no such name`, init);
    case Status.UNSUPPORTED:
      return new KeyframeError('UNSUPPORTED', `object '${key}': the server does not offer this`, init);
    default: {
      const said = cause instanceof Error ? cause.message : String(cause);
      return new KeyframeError('UNAVAILABLE', `object '${key}': the server answered ${status} (${said})`, {
        ...init,
        hint: `Look into the log of the SFTP server, and for a quota or a disk fault at '${path}'.`,
      });
    }
  }
}

/** The server's file system has no room left. */
export function diskFull(directory: string, cause: unknown): KeyframeError {
  return new KeyframeError('UNAVAILABLE', "the store's disk is full", {
    cause,
    hint: `Free space on the file system of '${directory}' on the SFTP server (df -h ${directory}) or enlarge it.`,
    details: { directory, full: true },
  });
}
