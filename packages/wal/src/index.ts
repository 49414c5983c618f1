/**
 * Reads PostgreSQL's WAL: bytes in, facts out.
 * @packageDocumentation
 */
export { beginCatalogue, type CatalogueFiles, resumeCatalogue } from './catalogue/begin.ts';
export {
  type Action,
  type ActionVerb,
  decodeNotes,
  type NamedRelation,
  type SegmentNotes,
  type TransactionNotes,
} from './catalogue/notes.ts';
export { crc32c } from './crc32c.ts';
export type {
  BackupEndFact,
  BlockId,
  BlockRestoredFact,
  CheckpointFact,
  DatabaseFact,
  EndOfRecoveryFact,
  FileFact,
  OverwriteFact,
  PageVisibleFact,
  ParameterChangeFact,
  RecordFact,
  RecordPlace,
  RelationCreateFact,
  RelationId,
  RelationMapFact,
  RelationTruncateFact,
  RestorePointFact,
  SubtransactionFact,
  SwitchFact,
  TransactionFact,
  WalFact,
  WatchOptions,
} from './facts.ts';
export type { CatalogueTracker, DecodedBlock, DecodedRecord } from './lens/decoded-record.ts';
export { type LensState, NO_LENS_STATE, type OpenTransaction } from './lens/lens-state.ts';
export { recordName, resourceManagerName } from './lens/record-name.ts';
export { createWalLens, type LensPiece, type WalLens, type WalLensOptions } from './lens/wal-lens.ts';
export {
  type ChangedBlocks,
  type FoldedTransactions,
  isInitialCatalogue,
  type LensFact,
  type MessageEffect,
  type RelationEffect,
  type SegmentIndex,
  type TransactionEffect,
} from './lens/segment-index.ts';
export { PAGE_MAGIC, type PostgresMajor, readSegmentHeader, type SegmentHeader } from './page-header.ts';
export { createWalScanner } from './scanner.ts';
export type { WalEnd, WalEndReason } from './segment-pages.ts';
export type { ScannedRecord, ScanOptions, WalScanner, WalScannerOptions } from './wal-scanner.ts';
