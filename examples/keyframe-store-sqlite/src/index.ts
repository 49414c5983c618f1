import path from 'node:path';
import { definePlugin, type OptionsSchema, type Plugin } from '@keyframe/contracts';
import { createSqliteStore, type SqliteOptions } from './store.ts';

const options: OptionsSchema<SqliteOptions> = {
  '~standard': {
    version: 1,
    vendor: 'keyframe-store-sqlite',
    validate: (input) => {
      const given = (typeof input === 'object' && input !== null ? input : {}) as { file?: unknown };
      const unknown = Object.keys(given).filter((key) => key !== 'file');
      if (unknown.length > 0) return { issues: unknown.map((key) => ({ message: 'unknown key', path: [key] })) };
      const { file } = given;
      if (typeof file !== 'string' || !path.isAbsolute(file))
        return { issues: [{ message: 'must be an absolute path', path: ['file'] }] };
      return { value: { file } };
    },
  },
};

const plugin: Plugin<'store', SqliteOptions> = definePlugin({
  kind: 'store',
  name: 'keyframe-store-sqlite',
  contract: 1,
  options,
  jsonSchema: () => ({
    type: 'object',
    properties: { file: { type: 'string', description: 'Absolute path of the database, made when missing.' } },
    required: ['file'],
    additionalProperties: false,
  }),
  create: createSqliteStore,
});
export default plugin;
