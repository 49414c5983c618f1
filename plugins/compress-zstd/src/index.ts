/** `@keyframe/compress-zstd`: one zstd frame per block, by the zstd inside Node. @packageDocumentation */
import { definePlugin, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';
import { createZstdCompressor, type ZstdOptions } from './zstd.ts';

const LEVELS = 'must be 1 to 19, or -7 to -2 for speed (-1 and 0 would silently mean 3)';

const options = z.strictObject({
  level: z
    .union([z.int().min(1).max(19), z.int().min(-7).max(-2)], { error: LEVELS })
    .default(1)
    .describe('1 (default) to 19, smallest; -2 to -7 are faster than 1 and larger.'),
});

const plugin: Plugin<'compressor', ZstdOptions> = definePlugin({
  kind: 'compressor',
  name: 'compress-zstd',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: createZstdCompressor,
});
export default plugin;
