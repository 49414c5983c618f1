import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { plainDeflate } from '../../test/support.ts';
import { Failure } from './failure.ts';
import { FramePipeline } from './frame-pipeline.ts';

const FRAME_BYTES = 1000;

function pipelineOf(failure: Failure, placed: string[]): FramePipeline {
  const place = async (job: { readonly plainBytes: number }): Promise<void> => {
    placed.push(`frame ${job.plainBytes}`);
  };
  return new FramePipeline({ compressor: plainDeflate, inFlight: 2, frameBytes: FRAME_BYTES, failure, place });
}

test('a step is done when all frames before it are placed, and before the next one is', async () => {
  const placed: string[] = [];
  const pipeline = pipelineOf(new Failure(undefined), placed);
  const submit = (plainBytes: number, isKnown = false): void =>
    pipeline.submit({
      role: 'data',
      buffer: pipeline.buffer().fill(1),
      plainBytes,
      extents: [],
      prepare: () => (isKnown ? undefined : []),
    });
  submit(1);
  submit(2, true);
  submit(3);
  pipeline.step(async () => void placed.push('step'));
  submit(4);
  await pipeline.drained();
  expect(placed).toEqual(['frame 1', 'frame 3', 'step', 'frame 4']);
});

test.each(['drained', 'settled'] as const)('nothing of it is kept alive once it is %s', async (end) => {
  const failure = new Failure(new AbortController().signal);
  const pipeline = pipelineOf(failure, []);
  expect(getEventListeners(failure.signal, 'abort')).toHaveLength(1);
  await pipeline[end]();
  expect(getEventListeners(failure.signal, 'abort')).toEqual([]);
});
