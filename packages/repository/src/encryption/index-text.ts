import { KeyframeError, Secret } from '@keyframe/contracts';
import type { GenerationSecrets } from './slot-object.ts';
import { KEY_BYTES } from './sealed-key.ts';

const LINE = /^keyframe-index-key ([1-9]\d*) ([0-9a-f]+)$/u;

/** The index keys of all generations, a line each, oldest first. */
export function indexText(secrets: Iterable<Pick<GenerationSecrets, 'generation' | 'indexKey'>>): Secret {
  const lines = [...secrets].map(
    ({ generation, indexKey }) => `keyframe-index-key ${generation} ${Buffer.from(indexKey).toString('hex')}`,
  );
  return new Secret(`${lines.join('\n')}\n`);
}

/** @throws {KeyframeError} INVALID_OPTION */
export function parseIndexText(text: Secret): Map<number, Uint8Array> {
  const keys = new Map<number, Uint8Array>();
  for (const line of text
    .reveal()
    .split(/\r?\n/u)
    .map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [, generation, hex = ''] = LINE.exec(line) ?? [];
    if (generation === undefined || hex.length !== KEY_BYTES * 2)
      throw new KeyframeError('INVALID_OPTION', '`indexKey` is not what `keyframe key export-index` writes', {
        hint: 'Write `indexKey: "${file:/etc/keyframe/index.key}"` under `repositories.<name>`, and that file with `keyframe key export-index`.',
      });
    keys.set(Number(generation), new Uint8Array(Buffer.from(hex, 'hex')));
  }
  return keys;
}
