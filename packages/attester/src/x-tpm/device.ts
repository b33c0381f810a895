import { open, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { sleep, type Clock } from '@muster/shared/clock.js';
import { isBusy, responseLength, TpmError } from './commands.js';

/** The longest response of a TPM, bytes (TPM 2.0 PC Client Platform, MAX_RESPONSE_SIZE). */
const maxResponseBytes = 4096;

/** How often a busy TPM is asked again, and how long after, at first, ms; each time twice as long. */
const maxRetries = 6;
const firstPauseMs = 20;

/** A TPM, and the clock to wait by. */
export interface TpmDevice {
  readonly path: string;
  readonly clock: Clock;
}

/** Sends one command to a TPM, again while it is busy, and returns its response. */
export type Transact = (command: Uint8Array) => Promise<Uint8Array>;

/** A TPM that is open. */
interface Connection {
  readonly exchange: Transact;
  close(): Promise<void> | void;
}

/**
 * Opens a TPM for commands that belong together: a resource manager such as `/dev/tpmrm0` forgets sessions when it is
 * closed. A device is written to and read in turns; a socket is that of a software TPM.
 * Errors: TpmError; what the system call or the signal says.
 */
export async function withTpm<T>(
  { path, clock }: TpmDevice,
  signal: AbortSignal,
  use: (transact: Transact) => Promise<T>,
): Promise<T> {
  const isSocket = (await stat(path)).isSocket();
  signal.throwIfAborted();
  const connection = isSocket ? openSocket(path, signal) : await openDevice(path);
  try {
    return await use(async (command) => {
      for (let retry = 0; ; retry += 1) {
        signal.throwIfAborted();
        const response = await connection.exchange(command);
        if (!isBusy(response) || retry === maxRetries) return response;
        await sleep(clock, firstPauseMs * 2 ** retry, signal);
      }
    });
  } finally {
    await connection.close();
  }
}

/** Sends one command to a TPM. Errors: as {@link withTpm}. */
export function transact(tpm: TpmDevice, command: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return withTpm(tpm, signal, (send) => send(command));
}

async function openDevice(path: string): Promise<Connection> {
  const device = await open(path, 'r+');
  return {
    async exchange(command) {
      await device.write(command);
      const response = Buffer.alloc(maxResponseBytes);
      const { bytesRead } = await device.read(response, 0, maxResponseBytes, null);
      return Uint8Array.from(response.subarray(0, bytesRead));
    },
    close: () => device.close(),
  };
}

function openSocket(path: string, signal: AbortSignal): Connection {
  const socket = connect({ path, signal });
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  return {
    async exchange(command) {
      socket.write(command);
      let received = Buffer.alloc(0);
      while (received.length <= maxResponseBytes) {
        if (received.length >= (responseLength(received) ?? Infinity)) return Uint8Array.from(received);
        const { done, value } = await chunks.next();
        if (done === true) break;
        received = Buffer.concat([received, value]);
      }
      throw new TpmError('the TPM returned no whole response.');
    },
    close: () => void socket.destroy(),
  };
}
