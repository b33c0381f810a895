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

/**
 * Sends one command to a TPM, again while it is busy, and returns its response. A device such as `/dev/tpmrm0` is written to and read once; a
 * socket is that of a software TPM. Errors: TpmError; what the system call or the signal says.
 */
export async function transact(
  { path, clock }: TpmDevice,
  command: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const isSocket = (await stat(path)).isSocket();
  for (let retry = 0; ; retry += 1) {
    signal.throwIfAborted();
    const response = isSocket
      ? await transactOnSocket(path, command, signal)
      : await transactOnDevice(path, command);
    if (!isBusy(response) || retry === maxRetries) return response;
    await sleep(clock, firstPauseMs * 2 ** retry, signal);
  }
}

async function transactOnDevice(path: string, command: Uint8Array): Promise<Uint8Array> {
  const device = await open(path, 'r+');
  try {
    await device.write(command);
    const { bytesRead, buffer } = await device.read(
      Buffer.alloc(maxResponseBytes),
      0,
      maxResponseBytes,
      null,
    );
    return Uint8Array.from(buffer.subarray(0, bytesRead));
  } finally {
    await device.close();
  }
}

async function transactOnSocket(path: string, command: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  const socket = connect({ path, signal });
  try {
    socket.write(command);
    let received = Buffer.alloc(0);
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer]);
      if (received.length > maxResponseBytes) break;
      if (received.length >= (responseLength(received) ?? Infinity)) return Uint8Array.from(received);
    }
    throw new TpmError('the TPM returned no whole response.');
  } finally {
    socket.destroy();
  }
}
