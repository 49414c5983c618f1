import { KeyframeError } from '@keyframe/contracts';

/** Everything in an archive is a multiple of this. */
export const BLOCK_BYTES = 512;

/** A member of an archive. */
export interface TarHeader {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  readonly modifiedAtSeconds: number;
  readonly sizeBytes: number;
  /** Empty unless a symlink. */
  readonly linkName: string;
}

const TYPES: Readonly<Record<string, TarHeader['type'] | undefined>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '5': 'directory',
  '2': 'symlink',
};
/** pax for the next member, pax for all, GNU long name, GNU long link name. */
const EXTENSIONS = 'xgLK';

const NAME = [0, 100] as const;
const MODE = [100, 108] as const;
const SIZE = [124, 136] as const;
const MODIFIED = [136, 148] as const;
const CHECKSUM = [148, 156] as const;
const TYPE_FLAG = 156;
const LINK_NAME = [157, 257] as const;
const MAGIC = [257, 262] as const;
const PREFIX = [345, 500] as const;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** True for a block of zeros. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

/** Reads a header block. `extension`: its content describes the next member. */
export function readHeader(block: Buffer): TarHeader & { readonly typeFlag: string; readonly extension: boolean } {
  const magic = block.toString('latin1', ...MAGIC);
  if (magic !== 'ustar' || readNumber(block, CHECKSUM) !== checksumOf(block)) throw corrupt('a damaged header');
  const typeFlag = String.fromCharCode(block[TYPE_FLAG] ?? 0);
  const extension = EXTENSIONS.includes(typeFlag);
  const type = TYPES[typeFlag];
  if (type === undefined && !extension) throw corrupt(`a member of type ${JSON.stringify(typeFlag)}`);
  // GNU's own format keeps other fields where ustar has the prefix of the name.
  const prefix = block[262] === 0 ? decodeName(block.subarray(...PREFIX)) : '';
  const name = decodeName(block.subarray(...NAME));
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    type: type ?? 'file',
    mode: readNumber(block, MODE) & 0o7777,
    modifiedAtSeconds: readNumber(block, MODIFIED),
    sizeBytes: readNumber(block, SIZE),
    linkName: type === 'symlink' ? decodeName(block.subarray(...LINK_NAME)) : '',
    typeFlag,
    extension,
  };
}

/** Sum of all bytes, those of the checksum itself counted as blanks. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (const byte of block) sum += byte;
  for (const byte of block.subarray(...CHECKSUM)) sum -= byte;
  return sum;
}

/** A number in octal, or in base 256 where octal is too short (files from 8 GiB on). */
function readNumber(block: Buffer, [start, end]: readonly [number, number]): number {
  const first = block[start] ?? 0;
  if (first === 0x80) return checked(block.subarray(start + 1, end).reduce((sum, byte) => sum * 256 + byte, 0));
  const text = block.toString('latin1', start, end).replace(/[ \0].*$/s, (tail) => (/^ +[0-7]/.test(tail) ? tail : ''));
  if (!/^ *[0-7]*$/.test(text)) throw corrupt('a header with a field that is no number');
  return checked(Number.parseInt(text.trim() || '0', 8));
}

function checked(value: number): number {
  if (!Number.isSafeInteger(value)) throw corrupt('a number beyond 2^53');
  return value;
}

/** Reads a name up to its first zero byte. */
export function decodeName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end));
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    // A name changed by decoding would restore under another name, or over another file.
    throw new KeyframeError(
      'UNSUPPORTED',
      `a file name of the cluster is not UTF-8: ${Buffer.from(bytes).toString('latin1')}`,
      {
        cause,
        hint: 'Rename or remove that file in the data directory; PostgreSQL makes none like it. Find it by `ls -b`.',
      },
    );
  }
}

/** Reads pax records, `<length> <name>=<value>\n`. */
export function readPax(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let offset = 0; offset < bytes.length && bytes[offset] !== 0;) {
    const blank = bytes.indexOf(0x20, offset);
    const length = Number(blank < 0 ? Number.NaN : bytes.toString('latin1', offset, blank));
    const end = offset + length;
    const equals = bytes.indexOf(0x3d, blank);
    if (!Number.isInteger(length) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a)
      throw corrupt('a damaged extension');
    records.set(decodeText(bytes.subarray(blank + 1, equals)), decodeText(bytes.subarray(equals + 1, end - 1)));
    offset = end;
  }
  return records;
}

/** What arrived is no archive that PostgreSQL would send. */
export function corrupt(what: string): KeyframeError {
  return new KeyframeError('CORRUPT', `the base backup's archive is damaged: ${what}`, {
    hint: 'Run `keyframe backup` again; if it repeats, compare with `pg_basebackup -Ft` and report it.',
  });
}
