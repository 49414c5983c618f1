import type { Command } from '../command.ts';

/**
 * Every command in the order of the overview, loaded only when it is asked for.
 * The file is the name with a hyphen for the space and exports `command`.
 */
export const COMMANDS: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  init: () => import('./init.ts'),
  'config validate': () => import('./config-validate.ts'),
  'config schema': () => import('./config-schema.ts'),
  doctor: () => import('./doctor.ts'),
  setup: () => import('./setup.ts'),
  demo: () => import('./demo.ts'),
  'repository create': () => import('./repository-create.ts'),
  'repository status': () => import('./repository-status.ts'),
  'repository sync': () => import('./repository-sync.ts'),
  'repository rebuild': () => import('./repository-rebuild.ts'),
  copy: () => import('./copy.ts'),
  backup: () => import('./backup.ts'),
  list: () => import('./list.ts'),
  show: () => import('./show.ts'),
  'wal push': () => import('./wal-push.ts'),
  'wal fetch': () => import('./wal-fetch.ts'),
  'wal status': () => import('./wal-status.ts'),
  'wal verify': () => import('./wal-verify.ts'),
  verify: () => import('./verify.ts'),
  'signer create': () => import('./signer-create.ts'),
  'signer add': () => import('./signer-add.ts'),
  'signer list': () => import('./signer-list.ts'),
  expire: () => import('./expire.ts'),
  undelete: () => import('./undelete.ts'),
  'hold add': () => import('./hold-add.ts'),
  'hold remove': () => import('./hold-remove.ts'),
  'hold list': () => import('./hold-list.ts'),
  plan: () => import('./plan.ts'),
  restore: () => import('./restore.ts'),
  adopt: () => import('./adopt.ts'),
  completion: () => import('./completion.ts'),
  help: () => import('./help.ts'),
  version: () => import('./version.ts'),
};
