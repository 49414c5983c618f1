/** `@keyframe/compress-none`: frames stored as they are. @packageDocumentation */
import { type Compressor, definePlugin, KeyframeError, type Plugin } from '@keyframe/contracts';
import { z } from 'zod';

/** There is nothing to choose. */
export type NoneOptions = Record<string, never>;

const options = z.strictObject({});

const plugin: Plugin<'compressor', NoneOptions> = definePlugin({
  kind: 'compressor',
  name: 'compress-none',
  contract: 1,
  options,
  jsonSchema: () => z.toJSONSchema(options, { io: 'input' }),
  create: (): Compressor => ({
    id: 'none',
    // Copied, since the caller may use its buffer again while ours is being written.
    compress: async (frame) => Uint8Array.from(frame),
    async decompress(frame, sizeBytes) {
      if (frame.length === sizeBytes) return Uint8Array.from(frame);
      throw new KeyframeError('CORRUPT', `stored frame has ${frame.length} bytes instead of ${sizeBytes}`);
    },
  }),
});
export default plugin;
