import { describe, expect, it } from 'vitest';
import { createProgress } from './progress.ts';
import { Talk } from './talk.ts';

const MIB = 1024 ** 2;

function setUp(isTTY: boolean, silent = false) {
  let text = '';
  let clock = 0;
  const talk = new Talk({ isTTY, columns: 60, write: (part) => void (text += part) });
  const progress = createProgress({ talk, silent, now: () => clock });
  return {
    talk,
    progress,
    tick: (ms: number) => void (clock += ms),
    take: () => {
      const taken = text;
      text = '';
      return taken;
    },
  };
}

describe('progress', () => {
  it('on a terminal is one line that is rewritten, with rate and ETA', () => {
    const { progress, tick, take } = setUp(true);
    const task = progress.task('backup', { total: 100 * MIB });
    tick(1000);
    task.update(10 * MIB);
    expect(take()).toBe('backup: 10.0 MiB of 100 MiB (10 %), 10.0 MiB/s, ETA 9.0 s');
    task.update(11 * MIB);
    expect(take()).toBe('');
    tick(1000);
    task.update(40 * MIB);
    expect(take()).toBe('\r\u001B[2Kbackup: 40.0 MiB of 100 MiB (40 %), 20.0 MiB/s, ETA 3.0 s');
    task.finish();
    task.finish();
    expect(take()).toBe('\r\u001B[2Kbackup: 40.0 MiB in 2.0 s (20.0 MiB/s)\n');
  });

  it('keeps other lines above it, and never wraps', () => {
    const { progress, talk, tick, take } = setUp(true);
    const task = progress.task('replay', { unit: 'items' });
    tick(1000);
    task.update(7);
    task.note('0'.repeat(100));
    take();
    tick(1000);
    task.update(8);
    const line = take().replace('\r\u001B[2K', '');
    expect(line).toHaveLength(59);
    talk.line('warning');
    expect(take()).toBe(`\r\u001B[2Kwarning\n${line}`);
    task.finish();
  });

  it('elsewhere is a plain line every few seconds', () => {
    const { progress, tick, take } = setUp(false);
    const task = progress.task('backup', { total: 10 * MIB });
    tick(1000);
    task.update(MIB);
    expect(take()).toBe('');
    tick(4000);
    task.update(5 * MIB);
    expect(take()).toBe('backup: 5.00 MiB of 10.0 MiB (50 %), 1.00 MiB/s, ETA 5.0 s\n');
    task.finish();
    expect(take()).toBe('backup: 5.00 MiB in 5.0 s (1.00 MiB/s)\n');
  });

  it('never shows more than all when the estimate was too low', () => {
    const { progress, tick, take } = setUp(true);
    const task = progress.task('backup', { total: MIB });
    tick(1000);
    task.update(2 * MIB);
    expect(take()).toBe('backup: 2.00 MiB of 2.00 MiB (100 %), 2.00 MiB/s');
    task.finish();
  });

  it('is silent when it is to be', () => {
    const { progress, tick, take } = setUp(true, true);
    const task = progress.task('backup');
    tick(9000);
    task.update(5);
    task.finish();
    expect(take()).toBe('');
  });
});
