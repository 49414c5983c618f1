/** Holds what is there against what was signed. @packageDocumentation */
import { type Abortable, hasCode, parseWalFileName, segmentNumberOf } from '@keyframe/contracts';
import type { ChainAudit, ChainHead, SignatureVerdict } from '@keyframe/repository';
import { type Hits, hitsOf } from './courses.ts';
import type { Findings } from './findings.ts';
import type { ChainState } from './report.ts';
import type { EpochSurvey } from './survey.ts';

/** The signed history of an epoch, proven as far as it goes. */
export interface CheckedChain {
  readonly state: ChainState;
  readonly audit: ChainAudit;
}

/** Walks the chain, and looks for every backup and WAL file that it vouches for. */
export async function checkChain(
  epoch: EpochSurvey,
  findings: Findings,
  options: Abortable & { readonly known?: ChainHead | undefined; readonly labels: readonly string[] },
): Promise<CheckedChain> {
  const { chain } = epoch.archive;
  const audit = await chain.audit(options);
  audit.faults.forEach((fault) => findings.chain(fault));
  const isSigned = audit.entries > 0 || chain.pinned;
  if (isSigned) await checkRecords(epoch, audit, findings, options);
  await findDropped(epoch, audit, findings, options);
  await findDroppedWal(epoch, audit, findings, options);
  const rollbackExcluded = audit.known !== undefined && audit.faults.length === 0;
  if (audit.entries > 0) remarkOn(audit, rollbackExcluded, epoch, findings);
  else if (!isSigned)
    findings.remark(
      'nothing is signed: who can write to the store can replace or remove what lies in it unnoticed',
      'Make a key with `keyframe signer create` and name it in `repositories.<name>.signing.key`.',
    );
  const head = audit.head === undefined ? undefined : `${audit.head.number}:${audit.head.sha256}`;
  return { audit, state: { signed: isSigned, entries: audit.entries, head, rollbackExcluded } };
}

/** What a missing or damaged WAL file takes along; a file that is no segment takes nothing that is not told elsewhere. */
export function hitsOfFile({ courses, inventory: { segmentSizeBytes } }: EpochSurvey, name: string): Hits {
  const file = parseWalFileName(name);
  if (file?.kind !== 'segment') return { backups: [], moments: [] };
  const number = segmentNumberOf(file, segmentSizeBytes);
  return hitsOf(courses, { timeline: file.timeline, first: number, last: number }, segmentSizeBytes);
}

function remarkOn(audit: ChainAudit, rollbackExcluded: boolean, epoch: EpochSurvey, findings: Findings): void {
  if (!rollbackExcluded && audit.known === undefined)
    findings.remark(
      'rollback cannot be excluded: this host knows no earlier head of the signed chain, so an older copy of the whole repository would look the same',
      'Give the head that another host or an earlier run printed with `--head`; from now on this host remembers it.',
    );
  let unsigned = 0;
  for (const name of epoch.wal.keys())
    if (parseWalFileName(name)?.kind === 'segment' && audit.walIdentity(name) === undefined) unsigned += 1;
  if (unsigned > 0)
    findings.remark(`${unsigned} WAL segments came after the last checkpoint and are signed by the next backup`);
}

async function checkRecords(
  epoch: EpochSurvey,
  audit: ChainAudit,
  findings: Findings,
  { signal }: Abortable,
): Promise<void> {
  const { archive, records } = epoch;
  const unnamed: string[] = [];
  for (const { label } of records) {
    const verdict = await verdictOn(epoch, label, signal);
    if (verdict === undefined) continue;
    const key = archive.checks.keyOf('record', label);
    const isBelieved = verdict.trust === 'trusted' || verdict.trust === 'first-use';
    const vouched = audit.backups.get(label);
    if (isBelieved && vouched === undefined) unnamed.push(label);
    if (!isBelieved && (verdict.trust !== 'unsigned' || vouched === undefined)) judge(label, key, verdict);
    if (!isBelieved && vouched !== undefined && vouched !== verdict.sha256)
      findings.signedBackup('replaced', key, label);
  }
  tellUnnamed(epoch, audit, unnamed, findings);

  function judge(label: string, key: string, verdict: SignatureVerdict): void {
    // The first signing of a repository is still to come.
    if (verdict.trust === 'unsigned' && audit.entries === 0)
      findings.remark('nothing is signed yet; the next backup signs itself and vouches for those before it');
    else findings.signature(key, label, verdict);
  }
}

async function findDropped(
  { archive, objects }: EpochSurvey,
  audit: ChainAudit,
  findings: Findings,
  { labels, signal }: Abortable & { readonly labels: readonly string[] },
): Promise<void> {
  for (const label of audit.backups.keys()) {
    const key = archive.checks.keyOf('record', label);
    const isAsked = labels.length === 0 || labels.includes(label);
    if (isAsked && !objects.has(key) && (await isAbsent(archive, label, signal)))
      findings.signedBackup('missing', key, label);
  }
}

/** Of backups that are asked for, only their own WAL: a copy of one backup has no other. */
async function findDroppedWal(
  epoch: EpochSurvey,
  audit: ChainAudit,
  findings: Findings,
  { labels, signal }: Abortable & { readonly labels: readonly string[] },
): Promise<void> {
  const { archive } = epoch;
  for (const name of audit.walNames()) {
    if (epoch.wal.has(name)) continue;
    const hits = hitsOfFile(epoch, name);
    const isAsked = labels.length === 0 || hits.backups.some((label) => labels.includes(label));
    // Archived and signed since the listing, it is there.
    if (isAsked && !(await archive.wal.has(name, { signal })))
      findings.signedWal('missing', archive.checks.keyOf('wal', name), hits);
  }
}

/** Published and signed since the listing, it is there. */
async function isAbsent(
  { chain }: EpochSurvey['archive'],
  label: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await chain.signatureOf(label, { signal });
    return false;
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return true;
    if (hasCode(error, 'CORRUPT')) return false; // told where records are read
    throw error;
  }
}

/** Each checkpoint names all backups, so only the last one can be without: killed between its publication and its signing. */
function tellUnnamed(
  { archive, records }: EpochSurvey,
  { head }: ChainAudit,
  unnamed: readonly string[],
  findings: Findings,
): void {
  const [first] = unnamed;
  if (first === undefined) return;
  const isLast = unnamed.length === 1 && records.at(-1)?.label === first;
  const message = `no entry of the signed chain vouches for ${unnamed.join(', ')}`;
  if (isLast)
    findings.remark(
      `${message}: that backup was interrupted just before it, or entries were cut off the end`,
      'Take the next backup with `keyframe backup`: it signs both.',
    );
  else
    findings.chain({
      key: archive.checks.keyOf('record', first),
      message: `${message}, though they are signed: entries after ${head?.number ?? 0} were cut off the end of the chain`,
    });
}

async function verdictOn(
  { archive }: EpochSurvey,
  label: string,
  signal: AbortSignal | undefined,
): Promise<(SignatureVerdict & { readonly sha256: string }) | undefined> {
  try {
    return await archive.chain.signatureOf(label, { signal });
  } catch (error) {
    // Told where the record itself is checked.
    if (hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) return undefined;
    throw error;
  }
}
