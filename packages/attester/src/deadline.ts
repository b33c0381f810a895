import { systemClock, type Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { generationFailed, type Attester, type CollectOptions } from './attester.js';

/**
 * Guards a device. Its attempts are made one after the other, and each has a bounded time. A system call that hangs
 * cannot be cancelled: until it returns, no further attempt is started and each fails at once, so that a broken device
 * costs one thread and not all of them. Whatever the attester throws becomes a MusterError with the namespace.
 */
export function withDeadline(attester: Attester, timeoutMs: number, clock: Clock = systemClock): Attester {
  const { namespace } = attester;
  let hanging = false;
  let turn: Promise<unknown> = Promise.resolve();

  const timedOut = (message: string): MusterError =>
    refusal('ATTESTATION_DEVICE_TIMEOUT', { message, namespace });

  const attempt = async (reportData: Uint8Array, { signal }: CollectOptions): Promise<Evidence> => {
    signal?.throwIfAborted();
    if (hanging) throw timedOut('The attestation device still hangs in an earlier attempt.');
    const expired = new AbortController();
    const signals = signal === undefined ? [expired.signal] : [signal, expired.signal];
    let timer = { cancel: (): void => undefined };
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = clock.schedule(timeoutMs, () => {
        hanging = true;
        const error = timedOut(`The attestation device did not answer within ${timeoutMs} ms.`);
        expired.abort(error);
        reject(error);
      });
    });
    const collecting = attester.collect(reportData, { signal: AbortSignal.any(signals) });
    const settled = collecting.finally(() => {
      timer.cancel();
      hanging = false;
    });
    return await Promise.race([settled, deadline]);
  };

  return {
    namespace,
    collect(reportData, options = {}) {
      const result = turn.then(() => attempt(reportData, options));
      turn = result.catch(() => undefined);
      return result.catch((error: unknown) => {
        throw error instanceof MusterError || error === options.signal?.reason
          ? error
          : generationFailed(namespace, error instanceof Error ? error.message : String(error), error);
      });
    },
  };
}
