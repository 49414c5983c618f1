import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Options } from './options.ts';

const SESSION_NAME = 'keyframe';

/** How the options say to sign; `undefined` leaves it to the SDK: environment, files, containers, instance metadata. */
export async function credentialsOf(options: S3Options): Promise<S3ClientConfig['credentials']> {
  const { accessKeyId, secretAccessKey, sessionToken, roleArn, externalId, region, webIdentityTokenFile } = options;
  const fixed =
    accessKeyId === undefined || secretAccessKey === undefined
      ? undefined
      : {
          accessKeyId: accessKeyId.reveal(),
          secretAccessKey: secretAccessKey.reveal(),
          ...(sessionToken !== undefined && { sessionToken: sessionToken.reveal() }),
        };
  if (roleArn === undefined) return fixed;
  const { fromNodeProviderChain, fromTemporaryCredentials, fromTokenFile } =
    await import('@aws-sdk/credential-providers');
  if (webIdentityTokenFile !== undefined)
    return fromTokenFile({ roleArn, webIdentityTokenFile, roleSessionName: SESSION_NAME });
  const profile = options.profile === undefined ? {} : { profile: options.profile };
  return fromTemporaryCredentials({
    masterCredentials: fixed ?? fromNodeProviderChain(profile),
    params: {
      RoleArn: roleArn,
      RoleSessionName: SESSION_NAME,
      ...(externalId !== undefined && { ExternalId: externalId }),
    },
    ...(region !== undefined && { clientConfig: { region } }),
  });
}
