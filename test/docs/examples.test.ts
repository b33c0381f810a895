import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { parseYaml } from '@muster/shared/config/load.js';
import { policySchema } from '@muster/shared/policy/policy.js';
import { reasonCatalogue } from '@muster/shared/reasons.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(join(root, 'docs', name), 'utf8') }));

/** The fenced YAML blocks of a page that are whole policies. */
function policiesOf(text: string): string[] {
  return [...text.matchAll(/```yaml\n([\s\S]*?)```/g)]
    .map(([, block = '']) => block)
    .filter((block) => /^servers:/m.test(block));
}

describe('the documentation', () => {
  const policies = pages.flatMap(({ name, text }) =>
    policiesOf(text).map((policy, index) => [`${name} #${index + 1}`, policy] as const),
  );

  it.each(policies)('shows a valid policy in %s', (name, policy) => {
    expect(() => parseYaml(policy, policySchema, 'POLICY_INVALID', name)).not.toThrow();
  });

  it('shows policies at all', () => expect(policies.length).toBeGreaterThan(1));

  it('links only to pages that exist', () => {
    const broken = pages.flatMap(({ name, text }) =>
      [...text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)]
        .map(([, target = '']) => join(root, 'docs', dirname(name), target))
        .filter((target) => !existsSync(target))
        .map((target) => `${name}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('explains no code that does not exist', () => {
    const families = new Set(Object.keys(reasonCatalogue).map((code) => code.split('_')[0]));
    const unknown = pages
      .filter(({ name }) => name.startsWith('namespaces'))
      .flatMap(({ name, text }) =>
        [...text.matchAll(/`([A-Z]{2,}_[A-Z0-9_]+)`/g)]
          .map(([, code = '']) => code)
          .filter((code) => families.has(code.split('_')[0]) && !Object.hasOwn(reasonCatalogue, code))
          .map((code) => `${name}: ${code}`),
      );
    expect(unknown).toEqual([]);
  });
});
