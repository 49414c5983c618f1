/**
 * What PostgreSQL runs once for every WAL file, apart from the rest: each run is a process of its own, and must not pay for
 * loading what speaks to servers.
 * @packageDocumentation
 */
export { fetchAhead, nextSegment } from './archive/fetch-ahead.ts';
export { noteAsked } from './archive/fetch-spool.ts';
export { type FetchContext, fetchWal } from './archive/fetch-wal.ts';
export { ownArchive } from './archive/own-archive.ts';
export { type AheadOptions, type AheadReport, pushAhead } from './archive/push-ahead.ts';
export { type PushReport, pushWal } from './archive/push-wal.ts';
export { archiveAt } from './catalogue.ts';
