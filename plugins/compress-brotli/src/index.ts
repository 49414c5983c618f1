/** `@keyframe/compress-brotli`: one Brotli stream per block, with a checksum. @packageDocumentation */
import { definePlugin, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';
import { type BrotliCompressorOptions, createBrotliCompressor } from './brotli.ts';

const options = z.strictObject({
  quality: z.int().min(0).max(11).default(4).describe('0, fastest, to 11, smallest. Default 4.'),
});

const plugin: Plugin<'compressor', BrotliCompressorOptions> = definePlugin({
  kind: 'compressor',
  name: 'compress-brotli',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createBrotliCompressor,
});
export default plugin;
