import { createRequire } from 'node:module';

/**
 * Ends this process, as the last thing that it does. Node's own exit joins the threads of its pool, and one that a device
 * keeps in a system call never comes back: so the kernel is asked directly (_exit(2)), and nothing is waited for. Where
 * that function cannot be had the process ends as usual.
 */
export function endProcess(code: number): never {
  try {
    // Synchronously: an import reads files on the same pool of threads.
    const { default: koffi } = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    koffi.load(null).func('void _exit(int status)')(code);
  } finally {
    process.exit(code);
  }
}
