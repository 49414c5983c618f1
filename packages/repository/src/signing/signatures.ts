import { type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { openSealedJson, sealJson, type SignatureOf } from '../format/sealed-json.ts';
import { SIGNERS_PREFIX, signerKey } from './places.ts';
import { createOnly } from '../objects/put-once.ts';
import { readSealed } from '../objects/with-copies.ts';
import { type Signer, signerOf, type Verifier, verifierOf } from './keys.ts';
import { findSignature, signatureLine } from './signature-line.ts';
import type { KnownSigner, Signers } from './signers.ts';
import type { SignatureVerdict, SigningContext } from './signing.ts';

/** The writers' public keys, and what signatures are worth. One per repository that is opened. */
export class Signatures implements Signers {
  readonly #store: Store;
  readonly #repositoryId: string;
  readonly #context: SigningContext;
  readonly #now: () => Date;
  #signer: Signer | undefined;
  #introduced = false;
  #known: Promise<Known> | undefined;

  constructor(store: Store, repositoryId: string, now: () => Date, context: SigningContext = { trusted: [] }) {
    this.#store = store;
    this.#repositoryId = repositoryId;
    this.#context = context;
    this.#now = now;
  }

  get signs(): boolean {
    return this.#context.key !== undefined;
  }

  /** Without public keys, a host that signs believes itself. */
  get pinned(): boolean {
    return this.#context.trusted.length > 0 || this.signs;
  }

  get heads(): SigningContext['heads'] {
    return this.#context.heads;
  }

  /** What signs the sealed object of that key; `undefined` when this host signs nothing. Its public key is in the repository then. */
  async sealer(key: string, options: Abortable): Promise<SignatureOf | undefined> {
    const signer = this.#own();
    if (signer === undefined) return undefined;
    await this.#introduceSelf(signer, options);
    return (body) => signatureLine(signer, { repository: this.#repositoryId, key }, body);
  }

  /** What the signature of a sealed object is worth. The seal is not checked here. */
  async verdict(bytes: Buffer, key: string, options: Abortable): Promise<SignatureVerdict> {
    const found = findSignature(bytes, { repository: this.#repositoryId, key });
    if (found === undefined) return { trust: 'unsigned' };
    const { keyId } = found;
    const pinned = this.#pinnedKeys().get(keyId);
    const known = pinned === undefined ? (await this.#signers(options)).get(keyId) : undefined;
    const verifier = pinned ?? known?.verifier;
    if (verifier === undefined) return { trust: 'foreign', keyId };
    if (!verifier.verify(found.message, found.signature)) return { trust: 'wrong', keyId };
    return { trust: known?.signer.trust ?? 'trusted', keyId };
  }

  async list(options: Abortable = {}): Promise<KnownSigner[]> {
    return [...(await this.#signers(options)).values()]
      .map(({ signer }) => signer)
      .toSorted((one, other) => (one.createdAt < other.createdAt ? -1 : 1));
  }

  async announce(options: Abortable = {}): Promise<string | undefined> {
    const signer = this.#own();
    if (signer !== undefined) await this.#introduceSelf(signer, options);
    return signer?.keyId;
  }

  async introduce(publicKey: string, name: string, options: Abortable = {}): Promise<string> {
    const signer = this.#own();
    if (signer === undefined)
      throw new KeyframeError('INVALID_OPTION', 'this host has no signing key to vouch with', {
        hint: 'Run it where `repositories.<name>.signing.key` is set, or name the public key under `signing.trusted`.',
      });
    const { keyId } = verifierOf(publicKey);
    await this.#introduceSelf(signer, options);
    if (!(await this.#create({ keyId, publicKey, name }, signer, options)))
      throw new KeyframeError('CONFLICT', `the repository names the signer ${keyId} already`, {
        hint: 'Name its public key under `repositories.<name>.signing.trusted` on the hosts that are to believe it.',
        details: { keyId },
      });
    this.#known = undefined;
    return keyId;
  }

  async #signers(options: Abortable): Promise<Known> {
    this.#known ??= this.#load(options);
    // A store that failed once is asked again.
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }

  async #introduceSelf(signer: Signer, options: Abortable): Promise<void> {
    if (this.#introduced) return;
    const { keyId, publicKey } = signer;
    const exists = (await this.#store.stat(signerKey(keyId), options)) !== undefined;
    if (!exists) await this.#create({ keyId, publicKey, name: '' }, signer, options);
    this.#introduced = true;
  }

  async #create(
    { keyId, publicKey, name }: { readonly keyId: string; readonly publicKey: string; readonly name: string },
    by: Signer,
    { signal }: Abortable,
  ): Promise<boolean> {
    const key = signerKey(keyId);
    const content = { keyId, publicKey, name, createdAt: this.#now().toISOString() };
    const sealed = sealJson(content, (body) => signatureLine(by, { repository: this.#repositoryId, key }, body));
    return createOnly(this.#store, key, bytesOf(sealed), signal);
  }

  #own(): Signer | undefined {
    if (this.#context.key !== undefined) this.#signer ??= signerOf(this.#context.key());
    return this.#signer;
  }

  #pinnedKeys(): ReadonlyMap<string, Verifier> {
    const own = this.#own();
    const texts = [...this.#context.trusted, ...(own === undefined ? [] : [own.publicKey])];
    return new Map(texts.map((text) => [verifierOf(text).keyId, verifierOf(text)]));
  }

  async #load({ signal }: Abortable): Promise<Known> {
    const read: ReadSigner[] = [];
    for await (const { key } of this.#store.list(SIGNERS_PREFIX, { signal })) {
      const signer = await this.#read(key, signal);
      if (signer !== undefined) read.push(signer);
    }
    const trusted = new Set(this.#pinnedKeys().keys());
    const verifiers = new Map(read.map((each) => [each.verifier.keyId, each.verifier]));
    const proves = ({ by, message, signature }: ReadSigner, keyId: string): boolean =>
      by === keyId && (verifiers.get(keyId)?.verify(message, signature) ?? false);
    for (let size = -1; size < trusted.size;) {
      size = trusted.size;
      for (const each of read) if ([...trusted].some((id) => proves(each, id))) trusted.add(each.verifier.keyId);
    }
    const otherwise = this.pinned ? 'foreign' : 'first-use';
    return new Map(
      read
        .filter((each) => proves(each, each.by))
        .map(({ verifier, name, createdAt, by }) => {
          const { keyId, publicKey } = verifier;
          const trust = trusted.has(keyId) ? 'trusted' : otherwise;
          return [keyId, { verifier, signer: { keyId, publicKey, name, createdAt, introducedBy: by, trust } }];
        }),
    );
  }

  async #read(key: string, signal: AbortSignal | undefined): Promise<ReadSigner | undefined> {
    try {
      const bytes = await readSealed(this.#store, key, signal);
      const fields = openSealedJson(bytes, key);
      const verifier = verifierOf(fields.text('publicKey'));
      const found = findSignature(bytes, { repository: this.#repositoryId, key });
      if (found === undefined || signerKey(verifier.keyId) !== key) return undefined;
      const { keyId: by, message, signature } = found;
      return { verifier, name: fields.text('name'), createdAt: fields.text('createdAt'), by, message, signature };
    } catch (error) {
      if (hasCode(error, 'CORRUPT', 'INVALID_OPTION', 'NOT_FOUND')) return undefined;
      throw error;
    }
  }
}

type Known = ReadonlyMap<string, { readonly verifier: Verifier; readonly signer: KnownSigner }>;

interface ReadSigner {
  readonly verifier: Verifier;
  readonly name: string;
  readonly createdAt: string;
  readonly by: string;
  readonly message: Buffer;
  readonly signature: Buffer;
}
