import { KeyframeError } from '@keyframe/contracts';

/** The connection went away under a request: nobody knows whether it was done. */
export function connectionLost(where: string, cause: unknown): KeyframeError {
  const said = cause instanceof Error && cause.message !== 'No response from server' ? `: ${cause.message}` : '';
  return new KeyframeError('UNAVAILABLE', `the connection to ${where} was lost${said}`, {
    cause,
    hint: 'Check the network and the SFTP server; the next call connects again.',
    details: { where },
  });
}
