/** `@keyframe/compress-lz4`: one LZ4 frame per block. @packageDocumentation */
import { type Compressor, definePlugin, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';
import { createLz4Compressor } from './lz4.ts';

const options = z.strictObject({});

const plugin: Plugin<'compressor', Record<string, never>> = definePlugin({
  kind: 'compressor',
  name: 'compress-lz4',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: (): Compressor => createLz4Compressor(),
});
export default plugin;
