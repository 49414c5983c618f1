import { chmod, stat } from 'node:fs/promises';

/** Words before a command under which permission bits bind it, also when we are root: in a user namespace root is nobody special. */
export function unprivileged(): readonly string[] {
  return process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=1000', '--map-group=1000'] : [];
}

/** Takes all permissions of a file or directory away until disposal. */
export async function withoutPermissions(path: string): Promise<AsyncDisposable> {
  return withMode(path, 0);
}

/** Gives a file or directory other permissions until disposal. */
export async function withMode(path: string, mode: number): Promise<AsyncDisposable> {
  const before = (await stat(path)).mode & 0o7777;
  await chmod(path, mode);
  return { [Symbol.asyncDispose]: () => chmod(path, before) };
}
