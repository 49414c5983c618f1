import type { Fields, Json } from '../format/sealed-json.ts';
import type { StateForm } from '../retention/numbered-state.ts';

/** How far an object was read: its ends and its frame table, or every byte. */
export type ReadLevel = 'outline' | 'content';

/** What is wrong with a pack: it is gone, its bytes are wrong, or it is another pack than manifests name. */
export type PackFault = 'missing' | 'damaged' | 'replaced';

/** A pack that a verification found wrong, and that nobody has found right since. */
export interface DamagedPack {
  readonly epoch: number;
  /** Of the backup that wrote it. */
  readonly label: string;
  readonly number: number;
  readonly fault: PackFault;
  /** How far one must read to see it. */
  readonly level: ReadLevel;
  /** In words. */
  readonly what: string;
  /** By the clock of the host that found it; ISO 8601 in UTC. */
  readonly foundAt: string;
  /** Backups that need it, in whatever epoch: labels are unique in time. */
  readonly backups: readonly string[];
}

/** All damage that is known of one cluster. */
export interface DamageState {
  readonly packs: readonly DamagedPack[];
}

const FAULTS = ['missing', 'damaged', 'replaced'] as const;
const LEVELS = ['outline', 'content'] as const;

export const DAMAGE_FORM: StateForm<DamageState> = {
  empty: { packs: [] },
  encode: ({ packs }) => ({ packs: packs.map((each): Json => ({ ...each, backups: [...each.backups] })) }),
  decode: (fields) => ({ packs: fields.list('packs').map(readPack) }),
};

function readPack(fields: Fields): DamagedPack {
  return {
    epoch: fields.integer('epoch'),
    label: fields.text('label'),
    number: fields.integer('number'),
    fault: fields.word('fault', FAULTS),
    level: fields.word('level', LEVELS),
    what: fields.text('what'),
    foundAt: fields.text('foundAt'),
    backups: fields.texts('backups'),
  };
}
