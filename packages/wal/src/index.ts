/**
 * Reads PostgreSQL's WAL: bytes in, facts out.
 * @packageDocumentation
 */
export { crc32c } from './crc32c.ts';
export { PAGE_MAGIC, type PostgresMajor, readSegmentHeader, type SegmentHeader } from './page-header.ts';
