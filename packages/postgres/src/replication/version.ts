/** `server_version` as one number, like libpq's PQserverVersion: `18.6` gives 180006, `19beta3` 190000. 0 when unreadable. */
export function parseServerVersion(text: string): number {
  const [, major, minor = '0'] = /^(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return major === undefined ? 0 : Number(major) * 10_000 + Number(minor);
}
