/** Shows engine events: phases as log lines, bytes and replay as progress. @packageDocumentation */
import { formatLsn, type Log } from '@keyframe/contracts';
import type { EngineEvent } from '@keyframe/engine';
import { formatSize } from './format.ts';
import type { Progress, ProgressTask } from './progress.ts';

interface ShownEvents {
  readonly onEvent: (event: EngineEvent) => void;
  /** Ends the line that is being rewritten. */
  finish(): void;
}

/** Reading fewer segments is over before one could read that it goes on. */
const SCAN_WORTH_SHOWING = 16;

/** Turns engine events into lines and progress. */
export function showEvents(progress: Progress, log: Log): ShownEvents {
  let task: ProgressTask | undefined;
  let phase: string | undefined;
  const switchTo = (next: string, label: string, unit: 'bytes' | 'items'): ProgressTask => {
    if (phase === next && task !== undefined) return task;
    task?.finish();
    phase = next;
    task = progress.task(label, { unit });
    return task;
  };
  const finish = (): void => {
    task?.finish();
    task = undefined;
  };
  return {
    finish,
    onEvent(event) {
      switch (event.kind) {
        case 'phase':
          finish();
          log.info(event.message);
          break;
        case 'warning':
          finish();
          log.warn(event.message);
          if (event.hint !== undefined) log.warn(`hint: ${event.hint}`);
          break;
        case 'bytes':
          switchTo(event.phase, event.phase, 'bytes').update(event.doneBytes, event.totalBytes);
          if (event.skippedBytes !== undefined) task?.note(`${formatSize(event.skippedBytes)} skipped by resume`);
          break;
        case 'index': {
          const shown = switchTo('index', 'indexing WAL', 'items');
          shown.update(event.done, event.total);
          shown.note(event.segment);
          break;
        }
        case 'scan': {
          if (event.total < SCAN_WORTH_SHOWING) break;
          const shown = switchTo('scan', 'reading WAL', 'items');
          shown.update(event.done, event.total);
          shown.note(event.segment);
          break;
        }
        case 'replay': {
          const shown = switchTo('replay', 'replaying WAL', 'items');
          shown.update(event.done, event.total);
          const at = event.lsn === undefined ? undefined : formatLsn(event.lsn);
          shown.note([event.segment, at].filter((each) => each !== undefined).join(' at '));
          break;
        }
      }
    },
  };
}
