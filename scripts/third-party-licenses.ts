// A bundle holds other people's code: their licences travel with it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The part of a rolldown plugin that is used here. */
interface LicensePlugin {
  readonly name: string;
  generateBundle(
    this: { emitFile(file: { type: 'asset'; fileName: string; source: string }): string },
    options: unknown,
    bundle: Readonly<Record<string, object>>,
  ): void;
}

/** Writes THIRD-PARTY-LICENSES.txt beside the bundle: name, version and licence text of every package in it. */
export function thirdPartyLicenses(): LicensePlugin {
  return {
    name: 'third-party-licenses',
    generateBundle(_, bundle) {
      const homes = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        const modules = 'moduleIds' in chunk && Array.isArray(chunk.moduleIds) ? (chunk.moduleIds as string[]) : [];
        for (const module of modules) {
          const home = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(module)?.[0];
          if (home !== undefined) homes.add(home);
        }
      }
      const texts = [...homes].toSorted((left, right) => left.localeCompare(right)).map(licenseOf);
      this.emitFile({
        type: 'asset',
        fileName: 'THIRD-PARTY-LICENSES.txt',
        source: texts.join(`\n${'-'.repeat(80)}\n\n`),
      });
    },
  };
}

function licenseOf(home: string): string {
  const manifest = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8')) as Record<string, string>;
  const file = readdirSync(home).find((name) => /^(licen[cs]e|copying)/i.test(name));
  const text =
    file !== undefined && existsSync(path.join(home, file)) ? readFileSync(path.join(home, file), 'utf8') : '';
  return `${manifest['name']} ${manifest['version']} (${manifest['license']})\n\n${text.trim()}\n`;
}
