/** What the requests for objects have in common. @packageDocumentation */
import type { S3Options } from './options.ts';

/** For every request about one object. */
export const payer = ({ requesterPays }: S3Options): { RequestPayer?: 'requester' } =>
  requesterPays ? { RequestPayer: 'requester' } : {};

/** The key that reading and writing must bring, if it is ours. */
export function customerKey({ sse }: S3Options): {
  SSECustomerAlgorithm?: string;
  SSECustomerKey?: string;
} {
  if (sse?.kind !== 'customer') return {};
  return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: sse.key.reveal() };
}

/** How a new object is to be encrypted. */
export function encryption(options: S3Options): {
  ServerSideEncryption?: 'AES256' | 'aws:kms';
  SSEKMSKeyId?: string;
  SSEKMSEncryptionContext?: string;
  BucketKeyEnabled?: boolean;
  SSECustomerAlgorithm?: string;
  SSECustomerKey?: string;
} {
  const { sse } = options;
  if (sse?.kind === 's3') return { ServerSideEncryption: 'AES256' };
  if (sse?.kind !== 'kms') return customerKey(options);
  const { key, context, bucketKey } = sse;
  return {
    ServerSideEncryption: 'aws:kms',
    ...(key !== undefined && { SSEKMSKeyId: key }),
    ...(context !== undefined && {
      SSEKMSEncryptionContext: Buffer.from(JSON.stringify(context)).toString('base64'),
    }),
    ...(bucketKey !== undefined && { BucketKeyEnabled: bucketKey }),
  };
}

/** A command of the SDK, whatever its types. */
export interface Extensible {
  readonly middlewareStack: { add(middleware: never, options: never): void };
}

type Build = (args: { readonly request: { readonly headers: Record<string, string> } }) => Promise<unknown>;

/** Sets a header that the command has no word for, before the request is signed. */
export function withHeader<C extends Extensible>(command: C, name: string, value: string): C {
  const setHeader =
    (next: Build): Build =>
    (args) => {
      args.request.headers[name] = value;
      return next(args);
    };
  command.middlewareStack.add(setHeader as never, { step: 'build', name } as never);
  return command;
}
