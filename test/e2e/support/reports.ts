/** What commands print with `--json`, as far as these tests read it. @packageDocumentation */

export interface BackupFacts {
  readonly label: string;
  readonly type: 'full' | 'incremental';
  readonly method: 'stream' | 'stream-incremental' | 'local';
  readonly parent?: string;
  readonly reusedBytes: number;
  readonly damagedPageCount?: number;
  readonly damagedPages?: readonly { readonly path: string; readonly block: number; readonly relation?: string }[];
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly timeline: number;
  readonly files: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly tablespaces: readonly { readonly oid: number; readonly location: string }[];
  readonly stoppedAt: string;
}

export interface ListReport {
  readonly backups: readonly BackupFacts[];
  readonly unfinished: readonly { readonly label: string; readonly storedBytes: number }[];
}

export interface PlanFacts {
  readonly target: string;
  readonly timeline: number;
  readonly backup: { readonly label: string; readonly startLsn: string; readonly stopLsn: string };
  readonly wal: { readonly segments: number; readonly first?: string; readonly last?: string };
  readonly stopsAt?: string;
  readonly lastKept?: { readonly xid: number; readonly time: string };
  readonly firstLost?: { readonly xid: number; readonly time: string };
}

export interface RestoreFacts {
  readonly directory: string;
  readonly plan: PlanFacts;
  readonly files: number;
  readonly bytes: number;
  readonly timeline: number;
  readonly tablespaces: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  readonly server?: {
    readonly state: string;
    readonly pid: number;
    readonly address: string;
    readonly logFile: string;
  };
}

export interface AdoptFacts {
  readonly outcome: 'adopted' | 'already-adopted';
  readonly timeline: number;
  readonly forkedFrom: number;
  readonly forkedAt: string;
  readonly pushed: readonly string[];
  readonly gapFrom?: string;
  readonly needsRestart: boolean;
}
