import { createHash } from 'node:crypto';
import { type Abortable, hasCode, type Store } from '@keyframe/contracts';
import type { OnMirrorEvent } from './events.ts';
import { type Journal, type JournalTask } from './journal.ts';
import { faultOf, type Member, namesOf } from './member.ts';
import type { Membership } from './membership.ts';
import { isWriteSet, type WriteRule } from './write-rule.ts';

/** Which stores are known to hold the object that counts, of the keys under which two writers met. */
const PINS = 1_000;

/** Only the highest number of a lease counts, and it lives for seconds: no copy of it is made later. */
const SHORT_LIVED = /^leases\//u;

/** What an object in that store says of its own content; `undefined` when its kind says nothing, or it is not there. */
export type IdentifyContent = (store: Store, key: string, options?: Abortable) => Promise<string | undefined>;

/** What the parts of a mirrored store share. */
export class Mirror {
  readonly members: readonly Member[];
  readonly rule: WriteRule;
  readonly membership: Membership;
  readonly journal: Journal;
  readonly onEvent: OnMirrorEvent;
  /** Only what every store has said is believed absent, and only what every store lists is a whole list. */
  readonly strict: boolean;
  readonly identify: IdentifyContent;
  /** Called when there is something to do for a store. */
  onLag: (() => void) | undefined;
  /** Stores that fell behind in this process. */
  readonly fallen: Set<Member> = new Set();
  /** Keys that a store still has, or has in an older form, by its name: what the journal says is to be done. */
  readonly stale: Map<string, Set<string>> = new Map();
  readonly #pins = new Map<string, readonly Member[]>();
  readonly #bad = new Map<string, Set<Member>>();
  /** For each store, what is on its way into its journal. */
  readonly #owing = new Map<Member, number>();
  #loaded: Promise<void> | undefined;

  constructor(parts: Pick<Mirror, 'members' | 'rule' | 'membership' | 'journal' | 'onEvent' | 'strict' | 'identify'>) {
    this.members = parts.members;
    this.rule = parts.rule;
    this.membership = parts.membership;
    this.journal = parts.journal;
    this.onEvent = parts.onEvent;
    this.strict = parts.strict;
    this.identify = parts.identify;
  }

  /**
   * What an object of a store says, as text by which equal content is recognised: two encodings of one WAL file are no
   * contradiction. Anything that does not tell goes by its bytes.
   */
  async contentOf(member: Member, key: string, signal: AbortSignal | undefined): Promise<string> {
    const told = await member.use((store) => this.identify(store, key, { signal }));
    return told ?? (await digestOf(member, key, signal)) ?? '';
  }

  /** The stores that may be asked. */
  get asked(): Member[] {
    return this.members.filter(({ excluded }) => !excluded);
  }

  get lead(): Member | undefined {
    return this.members.find(({ name }) => name === this.rule.lead);
  }

  isDurable(holders: Iterable<Member>): boolean {
    return isWriteSet(this.rule, namesOf(holders));
  }

  /** Whether an acknowledged object could lie on these stores alone. */
  couldHide(unanswered: Iterable<Member>): boolean {
    const members = [...unanswered];
    return this.strict ? members.length > 0 : this.isDurable(members);
  }

  /** Reads what the journal says; the first time only. */
  ready(): Promise<void> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /** Writes down what is still to be done to these stores, and lets somebody do it. Durable when it resolves, or told. */
  async owe(members: Iterable<Member>, task: JournalTask, keys: readonly string[]): Promise<void> {
    const lasting = keys.filter((key) => !SHORT_LIVED.test(key));
    if (lasting.length === 0) return;
    const owing = [...members].filter(({ excluded }) => !excluded || task !== 'repair');
    await Promise.all(
      owing.map(async (member) => {
        if (!member.behind) this.onEvent({ kind: 'behind', store: member.name, fault: member.fault });
        this.fallen.add(member);
        member.behind = true;
        if (task === 'delete' || task === 'replace') this.#hide(member.name, lasting);
        this.#owing.set(member, (this.#owing.get(member) ?? 0) + 1);
        try {
          await this.journal.add(member.name, task, lasting);
        } catch (error) {
          this.onEvent({ kind: 'journal', fault: faultOf(error) });
        } finally {
          this.#owing.set(member, (this.#owing.get(member) ?? 1) - 1);
        }
      }),
    );
    if (owing.length > 0) this.onLag?.();
  }

  /** Whether something is to be done to that store that its journal does not tell yet. */
  isOwing(member: Member): boolean {
    return (this.#owing.get(member) ?? 0) > 0;
  }

  /** Whether that store's copy is older than what the others have. */
  isStale(member: Member, key: string): boolean {
    return this.stale.get(member.name)?.has(key) === true;
  }

  /** From now on the object of that key is read from these stores. */
  pin(key: string, holders: readonly Member[]): void {
    if (this.#pins.size >= PINS) this.#pins.clear();
    this.#pins.set(key, holders);
  }

  isPinned(key: string): boolean {
    return this.#pins.has(key);
  }

  unpin(keys: readonly string[]): void {
    for (const key of keys) this.#pins.delete(key);
  }

  /** Remembers a copy that failed its verification. */
  distrust(key: string, member: Member): void {
    if (this.#bad.size >= PINS) this.#bad.clear();
    this.#bad.set(key, (this.#bad.get(key) ?? new Set()).add(member));
  }

  trust(key: string, member: Member): void {
    this.#bad.get(key)?.delete(member);
  }

  /** The stores from which an object may be read, without order. */
  readable(key: string): Member[] {
    const pinned = this.#pins.get(key) ?? this.asked;
    const fresh = pinned.filter((member) => !member.excluded && !this.isStale(member, key));
    const bad = this.#bad.get(key);
    const good = bad === undefined ? fresh : fresh.filter((member) => !bad.has(member));
    return good.length > 0 ? good : fresh;
  }

  #hide(store: string, keys: readonly string[]): void {
    const hidden = this.stale.get(store) ?? new Set();
    for (const key of keys) hidden.add(key);
    this.stale.set(store, hidden);
  }

  async #load(): Promise<void> {
    for (const member of this.asked) {
      if ((await this.journal.count(member.name)) === 0) continue;
      member.behind = true;
      for (const { task, keys } of await this.journal.entries(member.name))
        if (task === 'delete' || task === 'replace') this.#hide(member.name, keys);
    }
  }
}

/** SHA-256 of an object as it lies in a store; `undefined` when the store answered that there is none. */
export async function digestOf(
  member: Member,
  key: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const read = async (store: Store): Promise<string | undefined> => {
    const hash = createHash('sha256');
    try {
      for await (const chunk of await store.get(key, { signal })) hash.update(chunk);
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
    return hash.digest('hex');
  };
  return member.use(read);
}
