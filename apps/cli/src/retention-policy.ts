import { KeyframeError } from '@keyframe/contracts';
import type { RetentionPolicy } from '@keyframe/engine';
import { lockOf } from '@keyframe/engine/store';
import type { App } from '@keyframe/runtime';

/**
 * What the file says is kept of this cluster: its own `retention`, or that of its repository.
 * @throws {KeyframeError} RETENTION_MISSING
 */
export function policyOf({ configuration, cluster, clusterName, repositoryName, immutableMs }: App): RetentionPolicy {
  const configured = cluster.retention ?? configuration.repositories.get(repositoryName)?.retention;
  if (configured === undefined)
    throw new KeyframeError('RETENTION_MISSING', `the config file does not say how long ${clusterName} is kept`, {
      hint: `Set repositories.${repositoryName}.retention, such as { window: 35d }; nothing expires without it.`,
      details: { cluster: clusterName, repository: repositoryName },
    });
  const { window: windowMs, grace: graceMs, ...rules } = configured;
  return { windowMs, graceMs, ...rules, ...(immutableMs === undefined ? {} : { lockedMs: lockOf(immutableMs) }) };
}
