/** What went wrong, for people and for programs. @packageDocumentation */
import { type ErrorCode, type ErrorDetails, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { ConfigurationProblem } from '@keyframe/runtime';
import type { TextOutput } from './text.ts';

/** An error as `--json` prints it under `error`. */
export interface FaultReport {
  readonly code: ErrorCode;
  readonly message: string;
  /** Messages of what lay under it, the nearest first. */
  readonly causes: readonly string[];
  readonly hint: string | undefined;
  readonly details: ErrorDetails;
  /** Every problem of a config file. */
  readonly problems?: readonly ConfigurationProblem[];
}

/** Any thrown thing as a report. What is no {@link KeyframeError} is a bug of ours and called INTERNAL. */
export function describeFault(error: unknown, redact: (text: string) => string): FaultReport {
  const known = isKeyframeError(error)
    ? error
    : new KeyframeError('INTERNAL', error instanceof Error ? `${error.name}: ${error.message}` : String(error), {
        hint: 'Run it again with --verbose and report the output: this is a fault of Keyframe itself.',
      });
  const problems = problemsIn(known);
  return {
    code: known.code,
    message: redact(known.message),
    causes: problems === undefined ? causesOf(known).map(redact) : [],
    hint: known.hint === undefined ? undefined : redact(known.hint),
    details: Object.fromEntries(
      Object.entries(known.details).map(([key, value]) => [key, typeof value === 'string' ? redact(value) : value]),
    ),
    ...(problems === undefined ? {} : { problems }),
  };
}

/** As the runtime attaches them; read by shape, since the runtime is not loaded for an error of another kind. */
function problemsIn({ cause }: Error): readonly ConfigurationProblem[] | undefined {
  if (!(cause instanceof Error) || !('problems' in cause) || !Array.isArray(cause.problems)) return undefined;
  return cause.problems as ConfigurationProblem[];
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let said = error.message;
  for (let cause = error.cause; cause instanceof Error && causes.length < 5; cause = cause.cause) {
    // Messages that only repeat what stands above help nobody.
    if (cause.message !== '' && !said.includes(cause.message)) causes.push(cause.message);
    said += cause.message;
  }
  return causes;
}

/** `keyframe: what (CODE)`, why, and what to do. */
export function renderFault(fault: FaultReport, out: TextOutput): void {
  out.line(`${out.style('bad', 'keyframe:')} ${fault.message} (${fault.code})`);
  for (const cause of fault.causes) out.line(`  why: ${cause}`);
  for (const { path, line, column, reason, fix } of fault.problems ?? []) {
    const place = line === undefined ? '' : ` (line ${line}, column ${column ?? 1})`;
    out.line(`  ${out.style('strong', path === '' ? 'the file' : path)}${place}: ${reason}`);
    if (fix !== undefined) out.line(`      ${fix}`);
  }
  if (fault.hint !== undefined) out.line(`  ${out.style('strong', 'hint:')} ${fault.hint}`);
}
