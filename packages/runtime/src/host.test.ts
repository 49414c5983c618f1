import { stat } from 'node:fs/promises';
import { hasCode } from '@keyframe/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { createHost } from './host.ts';

describe('host', () => {
  const host = createHost({ debug: () => undefined, info: () => undefined, warn: () => undefined });
  afterAll(() => host.close());
  const fault = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('runs a program without a shell and gives its bytes', async () => {
    const { stdout } = await host.exec('printf', ['%s', 'a $HOME b']);
    expect(stdout.toString()).toBe('a $HOME b');
  });

  it('passes input and environment', async () => {
    const { stdout } = await host.exec('sh', ['-c', 'cat; printf "%s" "$KF_X"'], {
      input: Buffer.from('in '),
      environment: { KF_X: 'out' },
    });
    expect(stdout.toString()).toBe('in out');
  });

  it('rejects a status other than zero, with the program’s last line', async () => {
    const error = await fault(host.exec('sh', ['-c', 'echo no >&2; exit 3']));
    expect(hasCode(error, 'INTERNAL') && error.details).toEqual({ command: 'sh', status: 3, signal: undefined });
    expect(error).toHaveProperty('message', 'sh ended with status 3: no');
  });

  it('tells a program that is not there', async () =>
    expect(hasCode(await fault(host.exec('kf-no-such-program', [])), 'NOT_FOUND')).toBe(true));

  it('passes an abort untouched', async () => {
    const abort = new AbortController();
    const running = fault(host.exec('sleep', ['20'], { signal: abort.signal }));
    abort.abort(new Error('enough'));
    expect(await running).toHaveProperty('message', 'enough');
  });

  it('removes its temporary directories at the end', async () => {
    const own = createHost(host.log);
    const directory = await own.temporaryDirectory();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    await own.close();
    await own.close();
    expect(await fault(stat(directory))).toHaveProperty('code', 'ENOENT');
  });
});
