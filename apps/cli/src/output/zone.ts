/** The zone of this machine, shown as one reading of a time without offset; never assumed. */
export function localZone(): string {
  return new Intl.DateTimeFormat('en').resolvedOptions().timeZone;
}
