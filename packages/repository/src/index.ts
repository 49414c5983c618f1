/**
 * The repository format: packs, frames, manifests, the catalogue, the WAL archive, leases.
 * Nothing outside this package knows the format; docs/format specifies it.
 * @packageDocumentation
 */
export type { BaseFile, BaseFiles } from './backup/base-files.ts';
export type { BackupCatalogue, BeginOptions, NewIntent, UnfinishedBackup } from './backup/catalogue.ts';
export type {
  BackupBeginning,
  BackupFacts,
  BackupIntent,
  BackupMethod,
  BackupRecord,
  BackupType,
  DamagedPage,
  Fragmentation,
  ManifestReference,
  TablespaceLocation,
} from './backup/record.ts';
export type {
  BackupWriter,
  FileSink,
  InterruptedBackup,
  NewEntry,
  NewFile,
  NewSymlink,
  PreparedBackup,
  StoredRange,
} from './backup/writer.ts';
export type {
  ArchiveChecks,
  ListedObject,
  ManifestFault,
  ManifestProof,
  ObjectKind,
  ObjectProof,
} from './checks/checks.ts';
export type { ClusterHistory, Epoch, EpochArchive } from './cluster.ts';
export type {
  EncryptionContext,
  KeyGeneration,
  KeySlot,
  KeyState,
  NamedEncryptor,
  RepositoryKeys,
  SlotProof,
} from './encryption/encryption.ts';
export type { DamagedPack, PackFault, ReadLevel } from './damage/damaged-pack.ts';
export type { KnownDamage } from './damage/known-damage.ts';
export type { RepositoryIdentity } from './identity.ts';
export type { Lease, LeaseHolder, LeaseOptions } from './lease.ts';
export type { Extent, FrameReference, ManifestEntry, ManifestReader, PackUse } from './backup/manifest.ts';
export type { CatchUpReport } from './mirror/catch-up.ts';
export type { CheckObject } from './mirror/copy-object.ts';
export {
  type CopyContext,
  type CopyOptions,
  type CopyPlan,
  type CopyReport,
  copyRepository,
  type CopyScope,
  isSameRepository,
  planCopy,
} from './mirror/copy-repository.ts';
export type { MirrorEvent, OnMirrorEvent } from './mirror/events.ts';
export { type Journal, type JournalEntry, type JournalTask, openJournal } from './mirror/journal.ts';
export type { NamedStore } from './mirror/member.ts';
export { type MirroredStore, mirroredStore, type MirrorOptions } from './mirror/mirrored-store.ts';
export type { MirrorStatus, StatusOptions, StoreStatus } from './mirror/status.ts';
export type { SyncOptions, SyncReport } from './mirror/synchronize.ts';
export { walIdentity } from './mirror/wal-identity.ts';
export { defaultQuorum, isWriteSet, type WriteRule } from './mirror/write-rule.ts';
export { openRepository } from './open-repository.ts';
export type { Repository, RepositoryContext } from './repository.ts';
export type { ReadOptions, ReadReport, RestoreSink } from './backup/restore-sink.ts';
export type { LostRoot, LostRoots } from './roots/lost-roots.ts';
export type { Hold } from './retention/hold.ts';
export type { LostBackup, RebuildVerdict } from './retention/rebuild.ts';
export type { Retention } from './retention/retention.ts';
export type { EpochSurvey, LabelSurvey, LeaseView, Removal, TimelineSurvey, WalCompanion } from './retention/survey.ts';
export type { Tombstone, TombstoneState, WalTombstone } from './retention/tombstone.ts';
export { isLockedWhenWritten, isReadByVersion, type KeyKind, kindOfKey } from './kind-of-key.ts';
export { type ColdPack, coldPacks } from './retention/cold-objects.ts';
export type { ExtendedLocks, ObjectLocks } from './retention/object-locks.ts';
export type { PackName } from './retention/tombstones.ts';
export { newSigningKey } from './signing/keys.ts';
export type {
  ChainAudit,
  ChainFault,
  ChainHead,
  ExpiredThings,
  HeadMemory,
  SignatureVerdict,
  SignedChain,
  SigningContext,
} from './signing/signing.ts';
export type { KnownSigner, Signers } from './signing/signers.ts';
export {
  planTranslation,
  revealsContent,
  translate,
  type TranslationContext,
  type TranslationPlan,
  type TranslationReport,
} from './translate/translate.ts';
export type { RepositoryTuning } from './tuning.ts';
export { parseWalPart, walPartName, type WalPartName } from './wal/part-name.ts';
export type { WalArchive, WalFacts, WalFile, WalObjectHeader, WalPart, WalReader } from './wal/wal-archive.ts';
export { parseWalInventory, type SegmentRange, type StreamedSegment, type WalInventory } from './wal/wal-inventory.ts';
export type {
  OpenedWalIndex,
  SegmentSummary,
  WalIndex,
  WalIndexCache,
  WalIndexContent,
  WalIndexRef,
  WalIndexState,
} from './wal-index/wal-index.ts';
