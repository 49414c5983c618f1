/**
 * What takes a backup, apart from the rest: small increments are taken often, and a third of what they cost is the start of
 * the process.
 * @packageDocumentation
 */
export { isHolderAlive, thisProcess } from './backup/holder.ts';
export { takeBackup } from './backup/take-backup.ts';
