/** `@keyframe/compress-gzip`: one gzip member per block. @packageDocumentation */
import { definePlugin, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';
import { createGzipCompressor, type GzipOptions } from './gzip.ts';

const options = z.strictObject({
  level: z.int().min(1).max(9).default(1).describe('1 (default), fastest, to 9, smallest.'),
});

const plugin: Plugin<'compressor', GzipOptions> = definePlugin({
  kind: 'compressor',
  name: 'compress-gzip',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createGzipCompressor,
});
export default plugin;
