import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { duration } from '@muster/shared/config/duration.js';
import { loadYaml, parseYaml } from '@muster/shared/config/load.js';
import { MusterError } from '@muster/shared/errors.js';
import * as z from 'zod';

const schema = z.strictObject({
  name: z.string(),
  period: duration('1s', '1h').default(600_000),
  attesters: z.array(z.strictObject({ namespace: z.string() })).default([]),
});
const parse = (text: string): unknown => parseYaml(text, schema, 'CONFIG_INVALID', 'test.yaml');

function pathsOf(work: () => unknown): readonly (string | undefined)[] {
  try {
    work();
  } catch (error) {
    if (error instanceof MusterError) return error.reasons.map((entry) => `${entry.code} ${entry.path}`);
  }
  throw new Error('expected a refusal');
}

describe('configuration files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-config-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('reads what is there and fills in what is not', () => {
    expect(parse('name: a\nperiod: 10m')).toEqual({ name: 'a', period: 600_000, attesters: [] });
  });

  it('names every offending value by its path', () => {
    const text = 'name: 1\nperiod: 0s\nattesters: [{namespace: a, colour: red}, 7]\nnmae: x';
    expect(pathsOf(() => parse(text))).toEqual([
      'CONFIG_INVALID name',
      'CONFIG_INVALID period',
      'CONFIG_INVALID attesters[0].colour',
      'CONFIG_INVALID attesters[1]',
      'CONFIG_INVALID nmae',
    ]);
  });

  it.each([
    ['a key that is there twice', 'name: a\nname: b'],
    ['broken syntax', 'name: [a'],
    ['an alias bomb', 'name: &a [x]\nperiod: *a'],
    ['a document that is too large', `name: ${'a'.repeat(1024 * 1024)}`],
  ])('refuses %s', (_what, text) => {
    expect(() => parse(text)).toThrow(MusterError);
  });

  it('says which file cannot be read', () => {
    const file = join(directory, 'absent.yaml');
    expect(pathsOf(() => loadYaml(file, schema, 'CONFIG_INVALID'))).toEqual([`FILE_UNREADABLE ${file}`]);
  });

  it.each([
    ['1', 'expected a mapping, found a number'],
    ['attesters: []', 'name: this is required'],
    ['name: 7', 'name: expected a text, found a number'],
    ['name: ', 'name: expected a text, found nothing'],
    ['name: a\nattesters: x', 'attesters: expected a list, found a text'],
  ])('words what is wrong for people: %j', (text, said) => {
    expect(() => parse(text)).toThrow(said);
  });

  it('reads a file', () => {
    const file = join(directory, 'present.yaml');
    writeFileSync(file, 'name: b\n');
    expect(loadYaml(file, schema, 'CONFIG_INVALID').name).toBe('b');
  });
});
