import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from '@jest/globals';

/** A case of the real hardware evidence's MANIFEST.json. */
export interface VectorCase {
  readonly id: string;
  readonly namespace: string;
  readonly evidence: string;
  readonly certs?: readonly string[];
  readonly collateral?: string;
  readonly product?: string;
  readonly at?: string;
  readonly expect: string;
}

const directory = process.env['MUSTER_VECTORS'] ?? resolve(import.meta.dirname, '../../../shared/vectors');
const isPresent = existsSync(join(directory, 'MANIFEST.json'));

/** The path of a file of the vectors. */
export function vectorPath(file: string): string {
  return join(directory, file);
}

/** A file of the vectors. */
export function vector(file: string): Uint8Array {
  return Uint8Array.from(readFileSync(vectorPath(file)));
}

/** The manifest's cases of one namespace. */
export function vectorCases(namespace: string): readonly VectorCase[] {
  const cases = JSON.parse(readFileSync(vectorPath('MANIFEST.json'), 'utf8')) as readonly VectorCase[];
  return cases.filter((entry) => entry.namespace === namespace);
}

/** Tests that need real hardware evidence: skipped in one line where it is absent, unless MUSTER_REQUIRE_VECTORS is set. */
export function describeVectors(title: string, tests: () => void): void {
  const isRequired = process.env['MUSTER_REQUIRE_VECTORS'] !== undefined;
  if (isPresent || isRequired) {
    describe(title, () => {
      tests();
    });
  } else it.todo(`${title}: skipped, since there is no real hardware evidence in ${directory}`);
}
