import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './live/workspace.js';

/**
 * Compiles a stand-in of a vendor's library, from its source below test/devices. False where this machine has no C
 * compiler, which nothing but simulated devices needs. Throws when the source does not compile.
 */
export function compileStandIn(source: string, library: string, ...flags: readonly string[]): boolean {
  const file = join(root, 'test', 'devices', source);
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', ...flags, '-o', library, file]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** As {@link compileStandIn}, for tests. */
export function compileForTests(source: string, library: string, ...flags: readonly string[]): boolean {
  const isCompiled = compileStandIn(source, library, ...flags);
  if (!isCompiled) skipWithoutCompiler(source);
  return isCompiled;
}

/** Says in one line which tests are skipped for want of a compiler; throws where MUSTER_REQUIRE_VECTORS is set. */
export function skipWithoutCompiler(source: string): void {
  if (process.env['MUSTER_REQUIRE_VECTORS'] !== undefined) throw new Error('there is no C compiler');
  console.warn(`skipped: no C compiler for the stand-in ${source}`);
}
