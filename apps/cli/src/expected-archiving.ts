/** What archive_command should be, for those that tell one which is not. @packageDocumentation */
import type { ArchiveExpectation } from '@keyframe/engine';
import { quoteForCommandSetting } from '@keyframe/postgres';
import type { App } from '@keyframe/runtime';
import { archiveArguments, commandTarget } from './invocation.ts';

/** For the cluster and repository that a command was opened for. */
export function expectedArchiving(app: App): ArchiveExpectation {
  const target = commandTarget(app);
  return { ...target, command: quoteForCommandSetting(archiveArguments(target)) };
}
