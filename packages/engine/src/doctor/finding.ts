/** One prerequisite and how it stands. */
export interface Finding {
  /** Stable name, for scripts. */
  readonly id: string;
  /** `skipped`: could not be told from here; `why` says what was missing. */
  readonly status: 'ok' | 'warn' | 'fail' | 'skipped';
  /** What was found, in one line. */
  readonly what: string;
  /** What follows from it for backup and recovery. */
  readonly why?: string | undefined;
  /** One imperative sentence. */
  readonly fix?: string | undefined;
}

/** Met; `fix` may still hint at something better. */
export function ok(id: string, what: string, fix?: string): Finding {
  return { id, status: 'ok', what, ...(fix === undefined ? {} : { fix }) };
}

/** Met, or not quite: it works, with a risk. */
export function warn(id: string, what: string, why: string, fix: string): Finding {
  return { id, status: 'warn', what, why, fix };
}

/** Not met. */
export function fail(id: string, what: string, why: string, fix: string): Finding {
  return { id, status: 'fail', what, why, fix };
}

/** Not to be told from here. */
export function skipped(id: string, what: string, why: string, fix?: string): Finding {
  return { id, status: 'skipped', what, why, ...(fix === undefined ? {} : { fix }) };
}
