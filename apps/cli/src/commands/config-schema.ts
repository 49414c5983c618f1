import { type Command, defineCommand, FAULT_EXITS } from '../command.ts';

interface SchemaReport {
  readonly schema: object;
  /** For the first line of the config file. */
  readonly line: string;
  readonly written?: string;
}

export const command: Command = defineCommand({
  name: 'config schema',
  summary: 'Print the JSON Schema of the config file, for editors',
  description: `With --write the schema goes into keyframe.schema.json beside the config file. An editor with the YAML language server then completes and checks the file when it begins with this line:

# yaml-language-server: $schema=./keyframe.schema.json`,
  examples: [
    { run: 'keyframe config schema > keyframe.schema.json' },
    { run: 'keyframe config schema --write', note: 'beside the config file' },
  ],
  positionals: [],
  options: {
    write: { kind: 'boolean', flag: '--write', description: 'write keyframe.schema.json beside the config file' },
  },
  exits: { 0: 'printed, or written', ...FAULT_EXITS },
  async run({ options, globals, cwd, environment }): Promise<{ exit: number; report: SchemaReport }> {
    const { configurationJsonSchema, locateConfiguration } = await import('@keyframe/runtime');
    const { BUILTIN, PLUGIN_SOURCES } = await import('../plugins.ts');
    const path = await import('node:path');
    // The file need not be valid, nor be there: an editor's help is wanted most while it is written.
    const file = locateConfiguration({ configPath: globals.config, cwd, environment });
    const schema = await configurationJsonSchema(file, BUILTIN, PLUGIN_SOURCES);
    const line = '# yaml-language-server: $schema=./keyframe.schema.json';
    if (!options.write) return { exit: 0, report: { schema, line } };
    const { writeFile } = await import('node:fs/promises');
    const written = path.join(path.dirname(file), 'keyframe.schema.json');
    await writeFile(written, `${JSON.stringify(schema, null, 2)}\n`);
    return { exit: 0, report: { schema, line, written } };
  },
  renderText(report, out) {
    const { schema, line, written } = report;
    if (written === undefined) {
      out.line(JSON.stringify(schema, null, 2));
      return;
    }
    out.line(`${out.style('good', 'written:')} ${written}`);
    out.line('Put this line first in the config file:');
    out.line(line);
  },
});
