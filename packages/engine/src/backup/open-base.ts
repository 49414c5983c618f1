/** Opens the backup that the next one is built on. @packageDocumentation */
import { hasCode } from '@keyframe/contracts';
import type { BackupRecord, BaseFiles, EpochArchive } from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import { type BaseChoice, type BaseQuestion, chooseBase } from './choose-base.ts';

/** The decision, with the files of the backup that was chosen. */
export interface OpenedBase {
  readonly choice: BaseChoice;
  readonly base: BaseFiles | undefined;
}

/**
 * Chooses and opens. A backup whose manifest cannot be read is passed over, and what is known to be damaged of the one that is
 * built on is told: no backup may fail, or rest on damage, because of one before it.
 * @throws {KeyframeError} NO_PARENT
 */
export async function openBase(
  question: BaseQuestion,
  archive: Pick<EpochArchive, 'backups'>,
  options: StageOptions,
): Promise<OpenedBase> {
  for (let { backups } = question; ;) {
    const choice = chooseBase({ ...question, backups });
    if (choice.base === undefined) return { choice, base: undefined };
    const base = await opened(choice.base, archive, options);
    if (base !== undefined) {
      tellSuspects(base, options);
      return { choice, base };
    }
    backups = backups.filter((each) => each !== choice.base);
  }
}

async function opened(
  record: BackupRecord,
  { backups }: Pick<EpochArchive, 'backups'>,
  options: StageOptions,
): Promise<BaseFiles | undefined> {
  try {
    return await backups.base(record, options);
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    warnOf(options)(error);
    return undefined;
  }
}

function tellSuspects({ record, suspects }: BaseFiles, { onEvent }: StageOptions): void {
  const [first] = suspects;
  if (first === undefined) return;
  const [key, why] = first;
  const count = suspects.size === 1 ? 'a pack' : `${suspects.size} packs`;
  onEvent?.({
    kind: 'warning',
    message: `${count} that backup ${record.label} needs cannot be built on, what lay there is stored anew: ${key}: ${why}`,
    hint: 'Run `keyframe verify`: it says what is lost with them, and `keyframe list` which backups need them.',
  });
}
