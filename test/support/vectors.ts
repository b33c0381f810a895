import { describe, it } from '@jest/globals';
import { hasVectors, vectorDirectory } from './vector-files.js';

export { vector, vectorCases, vectorPath, type VectorCase } from './vector-files.js';

/** Tests that need real hardware evidence: skipped in one line where it is absent, unless MUSTER_REQUIRE_VECTORS is set. */
export function describeVectors(title: string, tests: () => void): void {
  const isRequired = process.env['MUSTER_REQUIRE_VECTORS'] !== undefined;
  if (hasVectors || isRequired) {
    describe(title, () => {
      tests();
    });
  } else it.todo(`${title}: skipped, since there is no real hardware evidence in ${vectorDirectory}`);
}
