import { hasCode, KeyframeError } from '@keyframe/contracts';
import { readIdentity } from '../identity.ts';
import { faultOf, type Member, namesOf, tooFew } from './member.ts';
import { within } from './waiting.ts';
import { isWriteSet, type WriteRule } from './write-rule.ts';

/** Once one store has told which repository it holds, others may take this long to contradict, milliseconds. */
const CONTRADICTION_MS = 2_000;

/** What a store said when it was asked which repository it holds: its id, or `undefined` for none. */
type Answer = Promise<string | undefined>;

/**
 * Which stores belong to the repository. A store without `keyframe.json` may be a file system that is not mounted, one with
 * another id is somebody else's: neither is read or written.
 */
export class Membership {
  readonly #members: readonly Member[];
  readonly #rule: WriteRule;
  readonly #answers = new Map<Member, Answer>();
  #anchor: Promise<string | undefined> | undefined;

  constructor(members: readonly Member[], rule: WriteRule) {
    this.#members = members;
    this.#rule = rule;
  }

  /** Id of the repository; `undefined` when every store answered that it holds none. */
  id(): Promise<string | undefined> {
    this.#anchor ??= this.#find().catch((error: unknown) => {
      this.#anchor = undefined; // the next operation asks again
      throw error;
    });
    return this.#anchor;
  }

  /** @throws {KeyframeError} UNAVAILABLE, REPOSITORY_MISSING, CONFLICT unless the store holds this repository */
  async admit(member: Member): Promise<void> {
    const [own, id] = await Promise.all([this.#ask(member), this.id()]);
    if (own === undefined) throw holdsNone(member.name);
    if (own !== id) throw holdsAnother(member.name, own, id ?? 'none');
  }

  /** Asks the store itself again: after an absence, which proves nothing where the store has gone meanwhile. */
  async confirm(member: Member): Promise<void> {
    this.#answers.delete(member);
    await this.admit(member);
  }

  /** Forgets all answers: stores were added. */
  forget(): void {
    this.#answers.clear();
    this.#anchor = undefined;
  }

  #ask(member: Member): Answer {
    const known = this.#answers.get(member);
    if (known !== undefined) return known;
    const answer = readIdentity(member.store, undefined).then(
      ({ id }) => id,
      (error: unknown) => {
        if (hasCode(error, 'REPOSITORY_MISSING')) return undefined;
        member.note(error);
        throw error;
      },
    );
    this.#answers.set(member, answer);
    // Only an id lasts: a store that is absent or out of reach now may be mounted in a moment.
    const again = (): void => void (this.#answers.get(member) === answer && this.#answers.delete(member));
    answer.then((id) => (id === undefined ? again() : undefined), again);
    return answer;
  }

  async #find(): Promise<string | undefined> {
    const asked = this.#members.filter(({ excluded }) => !excluded);
    const holders = new Map<string, Member[]>();
    const faults = new Map<Member, unknown>();
    const decided = Promise.withResolvers<void>();
    const all = asked.map(async (member) => {
      try {
        const id = await this.#ask(member);
        if (id === undefined) return;
        holders.set(id, [...(holders.get(id) ?? []), member]);
        if (isWriteSet(this.#rule, namesOf(holders.get(id) ?? []))) decided.resolve();
        else void within(CONTRADICTION_MS, Promise.allSettled(all)).then(() => decided.resolve());
      } catch (error) {
        faults.set(member, error);
      }
    });
    await Promise.race([decided.promise, Promise.all(all)]);
    const known = [...holders];
    const agreed = known.find(([, members]) => isWriteSet(this.#rule, namesOf(members))) ?? known[0];
    if (agreed === undefined && faults.size === 0) return undefined;
    if (agreed === undefined) throw onlyFault(faults) ?? tooFew('no store tells which repository it holds', faults);
    if (known.length > 1 && !isWriteSet(this.#rule, namesOf(agreed[1])))
      throw holdsAnother(known[1]?.[1][0]?.name ?? '', known[1]?.[0] ?? '', agreed[0]);
    return agreed[0];
  }
}

/** Damage and denial are told as they are where nothing contradicts them. */
function onlyFault(faults: ReadonlyMap<Member, unknown>): KeyframeError | undefined {
  const [first, ...others] = [...faults.values()].map(faultOf);
  return others.every(({ code }) => code === first?.code) ? first : undefined;
}

function holdsNone(name: string): KeyframeError {
  return new KeyframeError('REPOSITORY_MISSING', `the store ${name} holds no repository, while others do`, {
    hint: `Check that ${name} is mounted and configured right; only for a new store run \`keyframe repository create --add-store ${name}\`.`,
    details: { store: name },
  });
}

function holdsAnother(name: string, found: string, expected: string): KeyframeError {
  return new KeyframeError('CONFLICT', `the store ${name} holds repository ${found}, the others hold ${expected}`, {
    hint: 'Correct `repositories.<name>.stores`, or go on with --without-store where the command has it.',
    details: { store: name, found, expected },
  });
}
