import { setImmediate } from 'node:timers/promises';
import { type Header, pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { TarReader } from './tar.ts';
import type { TarHeader } from './tar-header.ts';

/** A small generator, so that a failing case can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Member {
  readonly header: Partial<Header> & Pick<Header, 'name'>;
  readonly content: Buffer;
}

const modified = new Date(1_700_000_000_000);

function file(name: string, content: Buffer, more: Partial<Header> = {}): Member {
  return { header: { name, mtime: modified, mode: 0o600, type: 'file', size: content.length, ...more }, content };
}

/** What another implementation of the format writes. */
async function archive(members: readonly Member[]): Promise<Buffer> {
  const packer = pack();
  for (const { header, content } of members) packer.entry(header, content);
  packer.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packer) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

interface Seen extends TarHeader {
  readonly content: string;
}

interface Options {
  readonly longestPiece?: number;
  readonly waitPercent?: number;
  readonly seed?: number;
}

/** Reads an archive cut at random; each piece is wiped once it has been taken. */
async function read(bytes: Buffer, { longestPiece = 2000, waitPercent = 0, seed = 0 }: Options = {}): Promise<Seen[]> {
  const next = random(seed);
  const seen: Seen[] = [];
  let current: { readonly header: TarHeader; readonly parts: string[] } | undefined;
  const step = (action: () => void): void | Promise<void> => {
    if (next(100) >= waitPercent) return action();
    return setImmediate().then(action);
  };
  const reader = new TarReader({
    member: ({ name, type, mode, modifiedAtSeconds, sizeBytes, linkName }) =>
      step(() => {
        expect(current).toBeUndefined();
        const header = { name, type, mode, modifiedAtSeconds, sizeBytes, linkName };
        if (type === 'file') current = { header, parts: [] };
        else seen.push({ ...header, content: '' });
      }),
    content: (view) => step(() => void current?.parts.push(Buffer.from(view).toString('latin1'))),
    end: () =>
      step(() => {
        if (current === undefined) throw new Error('the end of no file');
        seen.push({ ...current.header, content: current.parts.join('') });
        current = undefined;
      }),
  });
  for (let offset = 0; offset < bytes.length;) {
    const piece = Buffer.from(bytes.subarray(offset, offset + 1 + next(longestPiece)));
    offset += piece.length;
    await reader.push(piece);
    piece.fill(0xee);
  }
  reader.finish();
  expect(current).toBeUndefined();
  return seen;
}

const expectedOf = (members: readonly Member[]): Seen[] =>
  members.map(({ header, content }) => ({
    name: header.name,
    type: header.type === 'directory' ? 'directory' : header.type === 'symlink' ? 'symlink' : 'file',
    mode: header.mode ?? 0,
    modifiedAtSeconds: modified.getTime() / 1000,
    sizeBytes: content.length,
    linkName: header.linkname ?? '',
    content: content.toString('latin1'),
  }));

/** Members of every kind and awkward size. */
function variety(seed: number): readonly Member[] {
  const next = random(seed);
  const content = (sizeBytes: number): Buffer => Buffer.from(Array.from({ length: sizeBytes }, () => next(256)));
  const sizes = [0, 1, 511, 512, 513, 1024, 8192, next(5000), next(50)];
  return [
    { header: { name: 'base/1/', mtime: modified, mode: 0o700, type: 'directory' }, content: Buffer.of() },
    ...sizes.map((size, index) => file(`base/1/${size}-${index}`, content(size))),
    {
      header: { name: 'pg_tblspc/7', linkname: '/srv/x', mtime: modified, mode: 0o777, type: 'symlink' },
      content: Buffer.of(),
    },
    file(`deep/${'d'.repeat(120)}/${'n'.repeat(90)}`, content(3)),
    file(`long/${'n'.repeat(300)}`, content(600)),
    file('ünïcode', content(5)),
    {
      header: { name: 'pg_tblspc/8', linkname: '/l'.repeat(150), mtime: modified, mode: 0o777, type: 'symlink' },
      content: Buffer.of(),
    },
    file('last', content(next(1000))),
  ];
}

/** Writes a checksum that fits after a header was changed. */
function patched(bytes: Buffer, change: (block: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  copy.fill(' ', 148, 156);
  const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

describe('TarReader', () => {
  it('reads what tar-stream writes, however it is cut', async () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const members = variety(seed);
      const options = { seed, longestPiece: [3000, 700, 40][seed % 3] ?? 1 };
      expect(await read(await archive(members), options)).toEqual(expectedOf(members));
    }
  });

  it('reads it byte by byte', async () => {
    const members = variety(1);
    expect(await read(await archive(members), { longestPiece: 1 })).toEqual(expectedOf(members));
  });

  it('waits for whoever takes it', async () => {
    for (let seed = 0; seed < 10; seed += 1) {
      const members = variety(seed);
      expect(await read(await archive(members), { seed, waitPercent: 50 })).toEqual(expectedOf(members));
    }
  });

  it('returns no promise while nobody waits, and copies no content', async () => {
    const bytes = await archive([file('a', Buffer.alloc(1000, 'x'))]);
    const views: Uint8Array[] = [];
    const content = (view: Uint8Array): void => void views.push(view);
    const reader = new TarReader({ member: () => undefined, content, end: () => undefined });
    expect(reader.push(bytes)).toBeUndefined();
    expect(views.map((view) => [view.length, view.buffer === bytes.buffer])).toEqual([[1000, true]]);
  });

  it('drops what is left once nobody listens any more', async () => {
    const bytes = await archive([file('a', Buffer.alloc(10)), file('b', Buffer.alloc(10))]);
    const names: string[] = [];
    const reader = new TarReader(
      { member: ({ name }) => void names.push(name), content: () => undefined, end: () => undefined },
      () => names.length === 0,
    );
    await reader.push(bytes);
    expect(names).toEqual(['a']);
  });

  it('reads GNU long names and links', async () => {
    const name = `gnu/${'n'.repeat(400)}`;
    const link = async (flag: string, text: string): Promise<Buffer> =>
      patched((await archive([file('././@LongLink', Buffer.from(`${text}\0`))])).subarray(0, -1024), (block) => {
        block.write(flag, 156, 'latin1');
      });
    const bytes = Buffer.concat([
      await link('L', name),
      await archive([file('short', Buffer.from('abc'))]),
      await link('K', '/target'.repeat(30)),
      await archive([{ header: { name: 's', type: 'symlink', linkname: 'x' }, content: Buffer.of() }]),
    ]);
    expect(await read(bytes)).toMatchObject([
      { name, content: 'abc' },
      { name: 's', linkName: '/target'.repeat(30) },
    ]);
  });

  it('reads a size of 8 GiB and more from base 256', async () => {
    const bytes = patched(await archive([file('huge', Buffer.of())]), (block) => {
      block.fill(0, 124, 136);
      block[124] = 0x80;
      block.writeUIntBE(9 * 2 ** 30, 130, 6);
    });
    const sizes: number[] = [];
    const reader = new TarReader({
      member: ({ sizeBytes }) => void sizes.push(sizeBytes),
      content: () => undefined,
      end: () => undefined,
    });
    await reader.push(bytes.subarray(0, 512));
    expect(sizes).toEqual([9 * 2 ** 30]);
    expect(() => reader.finish()).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  it('needs no end of archive', async () => {
    const members = [file('a', Buffer.from('abc'))];
    const bytes = await archive(members);
    expect(await read(bytes.subarray(0, 1024))).toEqual(expectedOf(members));
    expect(await read(bytes.subarray(0, 515))).toEqual(expectedOf(members));
    expect(await read(Buffer.of())).toEqual([]);
  });

  it.each([100, 511, 513, 600])('refuses an archive that is cut after %i bytes', async (length) => {
    const bytes = await archive([file('a', Buffer.alloc(200))]);
    await expect(read(bytes.subarray(0, length))).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('notices any damaged byte of a header', async () => {
    const bytes = await archive([file('a', Buffer.alloc(10, 'x'))]);
    // What ends a number, a blank or a zero, means the same as the other.
    const ends = new Set([107, 115, 123, 135, 147, 154, 155]);
    const offsets = Array.from({ length: 512 }, (_, offset) => offset).filter((offset) => !ends.has(offset));
    const codes = offsets.map(async (offset) => {
      const damaged = Buffer.from(bytes);
      damaged[offset] = (damaged[offset] ?? 0) ^ 0x01;
      return read(damaged).then(
        () => `byte ${offset} unnoticed`,
        (error: { readonly code?: string }) => error.code,
      );
    });
    expect(new Set(await Promise.all(codes))).toEqual(new Set(['CORRUPT']));
  });

  it.each(['1', '3', '6', 'S', 'D'])('refuses a member of type %s', async (flag) => {
    const bytes = patched(await archive([file('a', Buffer.of())]), (block) => void block.write(flag, 156, 'latin1'));
    await expect(read(bytes)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('refuses a name that is not UTF-8 rather than change it', async () => {
    const bytes = patched(await archive([file('abc', Buffer.of())]), (block) => void (block[1] = 0xff));
    await expect(read(bytes)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it.each(['99 path=x\n', 'x path=x\n', '9 path=x!', '7 path\n', '12 size=abc\n', '11 size=-1\n'])(
    'refuses the extension %j',
    async (records) => {
      const bytes = patched(await archive([file('h', Buffer.from(records))]), (block) => {
        block.write('x', 156, 'latin1');
      });
      await expect(read(bytes)).rejects.toMatchObject({ code: 'CORRUPT' });
    },
  );
});
