import type { AccessFacet, StoreRole } from '@keyframe/contracts';
import type { Account } from './account.ts';
import { blobNameOf } from './azure.ts';
import type { AzureOptions } from './options.ts';

const BLOBS = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs';

/** `add` writes new objects only; `write` replaces, too. */
const DATA_ACTIONS: Readonly<Record<StoreRole, readonly string[]>> = {
  writer: ['read', 'add/action', 'delete'],
  restorer: ['read'],
  pruner: ['read', 'add/action', 'delete', 'deleteBlobVersion/action'],
  owner: [
    'read',
    'write',
    'add/action',
    'delete',
    'deleteBlobVersion/action',
    'tags/read',
    'tags/write',
    'filter/action',
  ],
};

/** Leases, intents and what a check wrote: none of them says what was saved. */
const WRITER_REMOVES = ['leases/*', 'doctor/*', 'clusters/*/intent'];

/** r read, l list, c create, w write, d delete, x delete version, t tags, i immutability. */
const SAS: Readonly<Record<StoreRole, string>> = { writer: 'rcdl', restorer: 'rl', pruner: 'rcdxl', owner: 'rcwdxlti' };

/** A role of one's own and its assignment to the container, and the permissions of a SAS that does the same. */
export function accessFacet({ container, prefix }: AzureOptions, account: Account): AccessFacet {
  return {
    policy: (role) => {
      const definition = {
        Name: `Keyframe ${role} (${account.name}/${container})`,
        IsCustom: true,
        Description: `What the ${role} of a Keyframe repository needs`,
        Actions: ['Microsoft.Storage/storageAccounts/blobServices/containers/read'],
        DataActions: DATA_ACTIONS[role].map((action) => `${BLOBS}/${action}`),
        AssignableScopes: ['/subscriptions/SUBSCRIPTION'],
      };
      const scope = `/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/${account.name}/blobServices/default/containers/${container}`;
      const lines = [
        `az role definition create --role-definition '${JSON.stringify(definition)}'`,
        `az role assignment create --assignee IDENTITY --role '${definition.Name}' --scope ${scope}${role === 'writer' ? onlyLeases(prefix) : ''}`,
        '# or a SAS, instead of the role:',
        `az storage container generate-sas --account-name ${account.name} --name ${container} --permissions ${SAS[role]} --https-only --auth-mode login --as-user --expiry EXPIRY`,
      ];
      return {
        language: 'sh',
        document: `${lines.join('\n')}\n`,
        note: `Put in SUBSCRIPTION, GROUP, IDENTITY and EXPIRY, and run one of the two as an owner of the account. Rights are on the whole container: give each repository its own.${
          role === 'writer'
            ? ' With the role the writer can remove leases, and nothing that was saved. A SAS cannot be limited so: with it the writer can remove everything, though replace nothing.'
            : ''
        }`,
      };
    },
  };
}

/** A condition of the assignment: deletes are for those names only. */
function onlyLeases(prefix: string): string {
  const path = `@Resource[${BLOBS}:path]`;
  const names = WRITER_REMOVES.map((name) => `${path} StringLike '${blobNameOf(prefix)}${name}'`).join(' OR ');
  const condition = `((!(ActionMatches{'${BLOBS}/delete'})) OR (${names}))`;
  return ` --condition-version 2.0 --condition "${condition.replaceAll(/["$`\\]/g, '\\$&')}"`;
}
