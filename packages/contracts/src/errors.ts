/** Codes an adapter may raise. The engine decides by code alone: never by message, never by adapter name. */
export type AdapterErrorCode =
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'ACCESS_DENIED'
  | 'INVALID_OPTION'
  | 'UNSUPPORTED'
  | 'UNAVAILABLE'
  | 'CORRUPT'
  | 'CONFLICT';

/** Codes the engine adds. Each has a section of the same name in docs/errors.md. */
export type EngineErrorCode =
  | 'ARCHIVED'
  | 'BACKUP_NOT_FOUND'
  | 'BACKUP_WAL_MISSING'
  | 'CHAIN_BROKEN'
  | 'CONFIG_INVALID'
  | 'CONFIG_NOT_FOUND'
  | 'DISK_FULL'
  | 'INCREMENTAL_UNAVAILABLE'
  | 'INTERNAL'
  | 'KEY_LAST'
  | 'KEY_REQUIRED'
  | 'KEY_WRONG'
  | 'LOCKED'
  | 'NOT_ENCRYPTED'
  | 'NO_BACKUP'
  | 'NO_PARENT'
  | 'PLUGIN_INVALID'
  | 'PLUGIN_NOT_FOUND'
  | 'RECOVERY_FAILED'
  | 'REPOSITORY_FORMAT'
  | 'REPOSITORY_MISSING'
  | 'RETENTION_MISSING'
  | 'SERVER_ERROR'
  | 'SERVER_REFUSED'
  | 'SERVER_UNREACHABLE'
  | 'SERVER_UNSUPPORTED'
  | 'SIGNATURE_INVALID'
  | 'TARGET_AMBIGUOUS'
  | 'TARGET_BEFORE_BACKUP'
  | 'TARGET_DIRECTORY'
  | 'TARGET_NOT_FOUND'
  | 'TARGET_UNREACHABLE'
  | 'WAL_GAP'
  | 'WAL_INVALID'
  | 'WAL_MISMATCH'
  | 'WRONG_CLUSTER'
  | 'WRONG_TIMELINE';

/** Every code a {@link KeyframeError} can carry. */
export type ErrorCode = AdapterErrorCode | EngineErrorCode;

/** Values a program may want: keys, LSNs, sizes. Never secrets. */
export type ErrorDetails = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** What an error may carry besides its code and message. */
export interface KeyframeErrorInit {
  readonly cause?: unknown;
  /** One imperative sentence: what the operator can do now. Names a command or a setting. */
  readonly hint?: string | undefined;
  readonly details?: ErrorDetails;
}

/** The only error class that crosses a package boundary. */
export class KeyframeError extends Error {
  override readonly name = 'KeyframeError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, init: KeyframeErrorInit = {}) {
    super(message, { cause: init.cause });
    this.code = code;
    this.hint = init.hint;
    this.details = init.details ?? {};
  }

  /** Only a transient fault is worth the same call again. */
  get retryable(): boolean {
    return this.code === 'UNAVAILABLE';
  }
}

/** True for any {@link KeyframeError}. Works across duplicate copies of this package, unlike `instanceof`. */
export function isKeyframeError(error: unknown): error is KeyframeError {
  return error instanceof Error && error.name === 'KeyframeError' && 'code' in error;
}

/** True for a {@link KeyframeError} of one of those codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is KeyframeError {
  return isKeyframeError(error) && codes.includes(error.code);
}

/** For `promise.catch(ignoring('NOT_FOUND'))`: that code becomes `undefined`, every other fault stays a fault. */
export function ignoring(code: ErrorCode): (error: unknown) => undefined {
  return (error) => {
    if (!hasCode(error, code)) throw error;
  };
}
