import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
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

  it('a process that has ended and was not reaped yet is dead', async () => {
    // The shell's child ends while the shell, become `sleep`, never asks for its status.
    const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const { stdout } = await promisify(execFile)('sh', ['-c', `cut -d' ' -f22 /proc/${pid}/stat; sleep 0.5`]);
    const holder = { ...(await thisProcess('test')), pid, processStart: stdout.trim() };
    expect(await isHolderAlive(holder)).toBe(false);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
  });

  it('a process of another pid namespace is not on the same boot', async (context) => {
    const program = `
      const { thisProcess } = await import(${JSON.stringify(fileURLToPath(new URL('holder.ts', import.meta.url)))});
      console.log((await thisProcess('test')).bootId);
    `;
    const node = [process.execPath, '--conditions=@keyframe/source', '--input-type=module', '-e', program];
    const inside = await promisify(execFile)('unshare', ['--user', '--pid', '--fork', ...node]).catch(() => undefined);
    if (inside === undefined) context.skip('no namespaces here');
    expect(inside?.stdout.trim()).not.toBe((await thisProcess('test')).bootId);
  });

  it('without a start time only the clock can tell', async () => {
    expect(await isHolderAlive({ ...(await thisProcess('test')), pid: 1 << 22, processStart: '' })).toBe(true);
  });
});
