import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isHolderAlive, thisProcess } from './holder.ts';

describe.skipIf(!existsSync('/proc/self/stat'))('lease holders', () => {
  it('this process is alive; the same pid with another start is not', async () => {
    const self = await thisProcess('test');
    expect(self.processStart).toMatch(/^[0-9]+$/);
    expect(await isHolderAlive(self)).toBe(true);
    expect(await isHolderAlive({ ...self, processStart: '1' })).toBe(false);
  });

  it('a process that has ended is dead', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    const { pid = 0 } = child;
    await once(child, 'exit');
    expect(await isHolderAlive({ ...(await thisProcess('test')), pid })).toBe(false);
  });

  it('without a start time only the clock can tell', async () => {
    expect(await isHolderAlive({ ...(await thisProcess('test')), pid: 1 << 22, processStart: '' })).toBe(true);
  });
});
