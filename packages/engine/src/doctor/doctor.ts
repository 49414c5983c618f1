/** Examines every prerequisite of backup and recovery. @packageDocumentation */
import type { Abortable } from '@keyframe/contracts';
import { checkConnection, checkReplication, checkRepository, checkRole } from './check-access.ts';
import { checkArchiving } from './check-archiving.ts';
import { checkServer } from './check-server.ts';
import type { ArchiveExpectation, Evidence } from './evidence.ts';
import type { Finding } from './finding.ts';
import { gatherEvidence, type GatherContext } from './gather.ts';
import { examineStores } from '../storage/examine-stores.ts';

/** What the examination found, in the order of the checks. */
export interface DoctorReport {
  readonly cluster: string;
  /** `fail` when a prerequisite is not met, else `warn` or `ok`. */
  readonly verdict: 'ok' | 'warn' | 'fail';
  readonly counts: Readonly<Record<Finding['status'], number>>;
  readonly findings: readonly Finding[];
}

/** Judges evidence; pure. */
export function judge(evidence: Evidence, expected: ArchiveExpectation): readonly Finding[] {
  const { server, host } = evidence;
  const ofServer =
    'value' in server
      ? [...checkServer(server.value), ...checkArchiving(server.value, host, expected), ...checkRole(server.value)]
      : [];
  return [checkConnection(evidence), checkReplication(evidence), ...ofServer, ...checkRepository(evidence)];
}

/** Looks at server, archiving and repository. A fault of any of them is a finding. */
export async function doctor(context: GatherContext, options: Abortable = {}): Promise<DoctorReport> {
  const evidence = await gatherEvidence(context, options);
  // An empty store may be a file system that is not mounted: nothing is written there.
  const isThere = 'value' in evidence.repository && evidence.repository.value.id !== undefined;
  const storage = context.storage === undefined || !isThere ? [] : await examineStores(context.storage, options);
  const findings = [...judge(evidence, context.expected), ...storage];
  const counts = { ok: 0, warn: 0, fail: 0, skipped: 0 };
  for (const { status } of findings) counts[status] += 1;
  const verdict = counts.fail > 0 ? 'fail' : counts.warn > 0 ? 'warn' : 'ok';
  return { cluster: context.clusterName, verdict, counts, findings };
}
