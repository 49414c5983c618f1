// Writes docs/cli.md from the commands. A test keeps it up to date.
import { writeFile } from 'node:fs/promises';
import { renderMarkdown } from '../apps/cli/src/command-line/markdown.ts';
import { COMMANDS } from '../apps/cli/src/commands/index.ts';
import { loadAll } from '../apps/cli/src/run.ts';

const page = new URL('../docs/cli.md', import.meta.url);
await writeFile(page, renderMarkdown(await loadAll(COMMANDS)));
