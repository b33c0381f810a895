import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { reasonCatalogue } from '@muster/shared/reasons.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const catalogue = /(?:^|\/)reasons(?:\.ts|\/core\.ts|\.test\.ts)$/;

function sourceOf(folder: string): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/(?:^|\/)(?:dist|gen|node_modules)\//.test(name))
    .filter((name) => !catalogue.test(name))
    .map((name) => readFileSync(join(root, folder, name), 'utf8'))
    .join('\n');
}

function missingFrom(source: string): string[] {
  const words = new Set(source.match(/[A-Z][A-Z0-9]*_?[A-Z0-9_]*/g));
  return Object.keys(reasonCatalogue).filter((code) => !words.has(code));
}

describe('the catalogue of reasons', () => {
  it('has no code that nothing gives', () => expect(missingFrom(sourceOf('packages'))).toEqual([]));

  it('has no code that no test expects', () => expect(missingFrom(sourceOf('test'))).toEqual([]));

  it('says in whole sentences what was found and what to do', () => {
    const entries = Object.entries(reasonCatalogue).filter(
      ([code]) => code !== 'ATTESTATION_GENERATION_FAILED',
    );
    const clipped = entries.filter(
      ([, { summary, remedy }]) => ![summary, remedy].every((text) => text.endsWith('.')),
    );
    expect(clipped.map(([code]) => code)).toEqual([]);
  });
});
