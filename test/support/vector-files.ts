import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './live/workspace.js';

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

/** Where real hardware evidence is: MUSTER_VECTORS, or beside the repository. */
export const vectorDirectory = process.env['MUSTER_VECTORS'] ?? join(root, '../shared/vectors');
/** Whether there is real hardware evidence. */
export const hasVectors = existsSync(join(vectorDirectory, 'MANIFEST.json'));

/** The path of a file of the vectors. */
export function vectorPath(file: string): string {
  return join(vectorDirectory, file);
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
