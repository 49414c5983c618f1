import { KeyframeError } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { type Head, headOf } from './read.ts';

/** What the service says of an object that must be there. @throws {KeyframeError} NOT_FOUND */
export async function present(
  azure: Azure,
  key: string,
  signal: AbortSignal | undefined,
  version?: string,
): Promise<Head> {
  const found = await headOf(azure, key, signal, version);
  if (found === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
  return found;
}
