import { hasCode, KeyframeError } from '@keyframe/contracts';

/** Why a server cannot send an incremental base backup. Stands in `details.reason` of INCREMENTAL_UNAVAILABLE. */
export type IncrementalObstacle =
  | 'summarize-wal-off'
  | 'summaries-missing'
  | 'summarizer-stuck'
  | 'other-cluster'
  | 'other-timeline'
  | 'standby-idle'
  | 'manifest-unusable'
  | 'other';

interface Obstacle {
  readonly reason: IncrementalObstacle;
  readonly message: RegExp;
  readonly hint: string;
}

const FULL = 'take a full base backup with `keyframe backup --type full`';

/** By the untranslated message: PostgreSQL gives most of them one SQLSTATE. */
const OBSTACLES: readonly Obstacle[] = [
  {
    reason: 'summarize-wal-off',
    message: /unless WAL summarization is enabled/,
    hint: `Set summarize_wal = on and run \`select pg_reload_conf()\`, then ${FULL}.`,
  },
  {
    reason: 'summaries-missing',
    message: /^the server answered: WAL summaries are required on timeline/,
    hint: `Raise wal_summary_keep_time beyond the time between two backups, and ${FULL}.`,
  },
  {
    reason: 'summarizer-stuck',
    message: /WAL summarization is not progressing/,
    hint: `Look into the server log for the WAL summarizer (\`select * from pg_get_wal_summarizer_state()\`), or ${FULL}.`,
  },
  {
    reason: 'other-cluster',
    message: /system identifier in backup manifest is/,
    hint: `Check which server source.url leads to (\`select * from pg_control_system()\`), or ${FULL}.`,
  },
  {
    reason: 'other-timeline',
    message:
      /found in manifest, but not in this server's history|but that timeline begins at|but this server switched timelines at/,
    hint: `The earlier backup is not on this timeline's history: ${FULL}.`,
  },
  {
    reason: 'standby-idle',
    message: /^the server answered: manifest requires WAL from final timeline/,
    hint: `Run \`checkpoint\` on the primary and wait until the standby has replayed it, or ${FULL}.`,
  },
  {
    reason: 'manifest-unusable',
    message: /backup manifest|could not parse|manifest (?:checksum|version|ended)|must UPLOAD_MANIFEST/,
    hint: `Upload the manifest of a backup of this server on the same connection first, or ${FULL}.`,
  },
];

/** SQLSTATE object_not_in_prerequisite_state: what the server says when it cannot build on the earlier backup. */
const NOT_IN_PREREQUISITE_STATE = '55000';

/** What a server's answer to UPLOAD_MANIFEST or BASE_BACKUP INCREMENTAL means; other faults stay as they are. */
export function incrementalFault(error: unknown): unknown {
  if (!hasCode(error, 'SERVER_ERROR') || error.details['sqlstate'] === undefined) return error;
  const found = OBSTACLES.find(({ message }) => message.test(error.message));
  if (found === undefined && error.details['sqlstate'] !== NOT_IN_PREREQUISITE_STATE) return error;
  const reason: IncrementalObstacle = found?.reason ?? 'other';
  const said = error.message.replace(/^the server answered: /, '');
  return new KeyframeError('INCREMENTAL_UNAVAILABLE', `the server cannot send an incremental base backup: ${said}`, {
    cause: error,
    hint: found?.hint ?? `Read the server log, and ${FULL}.`,
    details: { ...error.details, reason },
  });
}
