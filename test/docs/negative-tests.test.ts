import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../..');
const rows = readFileSync(join(root, 'docs/negative-tests.md'), 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, , file, tests] = line.split('|').map((cell) => cell.trim());
    return file?.startsWith('`') === true ? [[file.replaceAll('`', ''), tests ?? ''] as const] : [];
  });

it('the page has a row for each', () => expect(rows.length).toBeGreaterThan(40));

it.each(rows)('%s has %s', (file, tests) => {
  const path = join(root, 'test', file);
  const source = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const titles = [...tests.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title);
  expect(titles.length).toBeGreaterThan(0);
  expect(titles.filter((title) => !source.includes(title))).toEqual([]);
});
