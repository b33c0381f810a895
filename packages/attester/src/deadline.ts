import { sleep, systemClock, type Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { generationFailed, type Attester } from './attester.js';

/** How long a collector that was told to give up may take to tidy up before it counts as hanging, ms. */
const windUpMs = 250;

/** Uses a device until the signal says to give up. */
type Use<T> = (signal: AbortSignal) => Promise<T>;

/**
 * Guards a device. Its attempts are made one after the other, and each has a bounded time. A system call that hangs
 * cannot be cancelled: until it returns, no further attempt is started and each fails at once, so that a broken device
 * costs one thread and not all of them. Whatever the attester throws becomes a MusterError with the namespace.
 */
export function withDeadline(attester: Attester, timeoutMs: number, clock: Clock = systemClock): Attester {
  const { namespace, keyProof } = attester;
  let hanging = false;
  let turn: Promise<unknown> = Promise.resolve();

  const timeout = (message: string): MusterError =>
    refusal('ATTESTATION_DEVICE_TIMEOUT', { message, namespace });

  const attempt = async <T>(use: Use<T>, signal: AbortSignal | undefined): Promise<T> => {
    signal?.throwIfAborted();
    if (hanging) throw timeout('The attestation device still hangs in an earlier attempt.');
    const expired = new AbortController();
    const signals = signal === undefined ? [expired.signal] : [signal, expired.signal];
    const using = use(AbortSignal.any(signals));
    const settled = using.then(
      () => undefined,
      () => undefined,
    );
    if (await isWithin(settled, timeoutMs, clock)) return await using;
    const error = timeout(`The attestation device did not answer within ${timeoutMs} ms.`);
    expired.abort(error);
    if (!(await isWithin(settled, windUpMs, clock))) {
      hanging = true;
      void settled.then(() => (hanging = false));
    }
    throw error;
  };

  const inTurn = <T>(use: Use<T>, signal: AbortSignal | undefined): Promise<T> => {
    const result = turn.then(() => attempt(use, signal));
    turn = result.catch(() => undefined);
    return result.catch((error: unknown) => {
      const isKnown = error instanceof MusterError || error === signal?.reason;
      throw isKnown ? error : generationFailed(namespace, String(error), error);
    });
  };

  return {
    ...attester,
    collect: (reportData, { signal: given, ...options } = {}) =>
      inTurn((signal) => attester.collect(reportData, { ...options, signal }), given),
    ...(keyProof !== undefined && {
      keyProof: {
        describe: ({ signal: given } = {}) => inTurn((signal) => keyProof.describe({ signal }), given),
        open: (credential, { signal: given } = {}) =>
          inTurn((signal) => keyProof.open(credential, { signal }), given),
      },
    }),
  };
}

/** Whether a promise that never rejects resolves in time. */
async function isWithin(settled: Promise<void>, ms: number, clock: Clock): Promise<boolean> {
  const waited = new AbortController();
  const late = sleep(clock, ms, waited.signal).then(
    () => false,
    () => true,
  );
  const inTime = await Promise.race([settled.then(() => true), late]);
  waited.abort();
  return inTime;
}
