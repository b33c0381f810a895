import { generationFailed } from '../attester.js';
import { namespace } from './report.js';

/** The binding to ioctl(2). */
export interface Ioctl {
  /** The address of a buffer that the caller keeps until the call has returned. */
  readonly addressOf: (memory: Buffer) => bigint;
  /**
   * Calls ioctl on a thread of its own, so that a slow device does not hold up this process. Resolves to the name of
   * the error, for example `ENOTTY`, or to undefined on success.
   */
  readonly call: (fd: number, code: number, argument: Buffer) => Promise<string | undefined>;
}

/**
 * Binds ioctl from a shared library; undefined means this process's own C library.
 * Errors: ATTESTATION_GENERATION_FAILED.
 */
export async function loadIoctl(library: string | undefined): Promise<Ioctl> {
  const { default: koffi } = await import('koffi');
  const names = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));
  const ioctl = bind();

  function bind(): ReturnType<ReturnType<typeof koffi.load>['func']> {
    try {
      return koffi.load(library ?? null).func('int ioctl(int fd, unsigned long request, void *argument)');
    } catch (error) {
      throw generationFailed(namespace, `ioctl cannot be had from ${library ?? 'the C library'}.`, error);
    }
  }

  return {
    addressOf: (memory) => koffi.address(memory),
    call: (fd, code, argument) =>
      new Promise((resolve, reject) => {
        ioctl.async(fd, code, argument, (error: Error | null, result: number) => {
          // Koffi makes the call's errno this thread's for the duration of the callback.
          const errno = koffi.errno();
          if (error !== null) reject(error);
          else resolve(result === 0 ? undefined : (names.get(errno) ?? `errno ${errno}`));
        });
      }),
  };
}
