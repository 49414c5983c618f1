import { KeyframeError, type ReplicationFacet } from '@keyframe/contracts';
import { type Azure, blobNameOf } from './azure.ts';
import { listBlobs } from './read.ts';

/** Object replication is a policy on both accounts, set by the management API: a document for `az`. */
export function replicationFacet(azure: Azure): ReplicationFacet {
  const { name } = azure.account;
  const { container, prefix, replicateTo } = azure.options;
  const document = {
    properties: {
      sourceAccount: name,
      destinationAccount: replicateTo?.account ?? 'DESTINATION',
      rules: [
        {
          sourceContainer: container,
          destinationContainer: replicateTo?.container ?? 'CONTAINER',
          filters: { prefixMatch: prefix === '' ? [] : [blobNameOf(prefix)], minCreationTime: '1601-01-01T00:00:00Z' },
        },
      ],
    },
  };
  return {
    // Only an object shows what policies copied it.
    read: async ({ signal } = {}) => {
      for await (const { info } of listBlobs(azure, '', signal, { pageSize: 1 })) {
        const head = await azure.headers({ method: 'HEAD', key: info.key, headers: azure.encryptionHeaders, signal });
        return Object.entries(head)
          .filter(([header]) => header.startsWith('x-ms-or-'))
          .map(([header, value]) => `${header.slice('x-ms-or-'.length)}: ${String(value)}`);
      }
      return [];
    },
    plan: async () => ({
      document: `${JSON.stringify(document, undefined, 2)}\n`,
      problems: [
        ...(replicateTo === undefined ? ['`replicateTo` names no account and container to copy to'] : []),
        `the policy is set by the management API: first on the account copied to, \`az storage account or-policy create --account-name ${replicateTo?.account ?? 'DESTINATION'} --policy @FILE\`, then with the policyId that it prints on ${name}`,
      ],
    }),
    apply: async () => {
      throw new KeyframeError('UNSUPPORTED', 'object replication is set by the management API of both accounts', {
        hint: 'Use the document of `keyframe replication plan` with `az storage account or-policy create`.',
      });
    },
  };
}
