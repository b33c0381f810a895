import { randomBytes } from 'node:crypto';
import { mkdir, open, rmdir, type FileHandle } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { sleep, type Clock } from '@muster/shared/clock.js';
import { errnoOf, generationFailed } from './attester.js';

/** A report directory of configfs-tsm (the kernel's Documentation/ABI/testing/configfs-tsm-report). */
export interface TsmDirectory {
  readonly namespace: string;
  /** Usually /sys/kernel/config/tsm/report. */
  readonly path: string;
  /** The driver that must serve it. */
  readonly provider: 'sev_guest' | 'tdx_guest';
  /** The VMPL that the report is asked for; undefined for the guest's own, or where there are none. */
  readonly privlevel?: number | undefined;
  /** The longest `outblob` that is taken, bytes. */
  readonly maxReportBytes: number;
  /** The longest `auxblob` that is taken, bytes; undefined where the driver has none. */
  readonly maxAuxiliaryBytes?: number;
  readonly clock: Clock;
}

/** What the kernel gave. */
export interface TsmReport {
  /** `outblob`: the report or quote. */
  readonly report: Uint8Array;
  /** `auxblob`; empty where there is none. */
  readonly auxiliary: Uint8Array;
}

const maxAttempts = 5;
const maxTextBytes = 4096;
/** How often a file is looked for that a served directory does not have yet, ms. */
const pollMs = 5;

/**
 * Collects a report through configfs-tsm. Every attempt uses a directory of its own; one whose generation betrays that
 * somebody else wrote to it is discarded and repeated, at most five times.
 * Errors: ATTESTATION_GENERATION_FAILED; the signal's reason.
 */
export async function collectTsmReport(
  directory: TsmDirectory,
  reportData: Uint8Array,
  signal: AbortSignal,
): Promise<TsmReport> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    if (attempt > 0) await sleep(directory.clock, pollMs * 2 ** attempt, signal);
    const report = await attemptOnce(directory, reportData, signal);
    if (report !== undefined) return report;
  }
  throw generationFailed(
    directory.namespace,
    `in each of ${maxAttempts} attempts the device was busy, or another process wrote to the report directory.`,
  );
}

/** One attempt; undefined when another process interfered, or the kernel asks to try again. */
async function attemptOnce(
  directory: TsmDirectory,
  reportData: Uint8Array,
  signal: AbortSignal,
): Promise<TsmReport | undefined> {
  const { path, privlevel, maxReportBytes, maxAuxiliaryBytes } = directory;
  const entry = join(path, `muster-${process.pid}-${randomBytes(8).toString('hex')}`);
  await step(directory, `make ${entry}`, () => mkdir(entry));
  const attribute = (name: string): Attribute => ({ directory, file: join(entry, name), signal });
  try {
    const provider = await readText(attribute('provider'));
    if (provider !== directory.provider) {
      const what = `${path} is served by ${JSON.stringify(provider)}, not by ${directory.provider}.`;
      throw generationFailed(directory.namespace, what);
    }
    if (privlevel !== undefined) await writeAttribute(attribute('privlevel'), String(privlevel));
    await writeAttribute(attribute('inblob'), reportData);
    const ownWrites = privlevel === undefined ? 1 : 2;
    const report = await readAttribute(attribute('outblob'), maxReportBytes);
    const auxiliary =
      maxAuxiliaryBytes === undefined
        ? new Uint8Array()
        : await readAttribute(attribute('auxblob'), maxAuxiliaryBytes);
    const generation = await readText(attribute('generation'));
    return generation === String(ownWrites) ? { report, auxiliary } : undefined;
  } catch (error) {
    if (error instanceof DeviceBusy) return undefined;
    throw error;
  } finally {
    // A directory that stays costs a little memory of the kernel; the evidence is not worse for it.
    await rmdir(entry).catch(() => undefined);
  }
}

/** A file below a report directory. */
interface Attribute {
  readonly directory: TsmDirectory;
  readonly file: string;
  readonly signal: AbortSignal;
}

class DeviceBusy extends Error {}

async function readText(attribute: Attribute): Promise<string> {
  const text = Buffer.from(await readAttribute(attribute, maxTextBytes)).toString('utf8');
  return text.trimEnd();
}

/** Reads an attribute whole. Errors: ATTESTATION_GENERATION_FAILED, also when it is larger than `maxBytes`. */
async function readAttribute(attribute: Attribute, maxBytes: number): Promise<Uint8Array> {
  const { file, directory } = attribute;
  return await withAttribute(attribute, 'read', constants.O_RDONLY, async (handle) => {
    const buffer = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (length > maxBytes)
        throw generationFailed(directory.namespace, `${file} is larger than ${maxBytes} bytes.`);
      if (bytesRead === 0) return new Uint8Array(buffer.subarray(0, length));
    }
  });
}

/** Writes an attribute in one piece. The kernel says at close whether it takes it. */
async function writeAttribute(attribute: Attribute, value: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(value);
  await withAttribute(attribute, 'write', constants.O_WRONLY, async (handle) => {
    const { bytesWritten } = await handle.write(bytes);
    if (bytesWritten !== bytes.length) {
      const what = `${attribute.file} took ${bytesWritten} of ${bytes.length} bytes.`;
      throw generationFailed(attribute.directory.namespace, what);
    }
  });
}

/**
 * Opens an attribute, uses it and closes it. In the kernel's directory attributes are there as soon as the directory
 * is; where a process serves them they follow, so one that is missing is waited for until the signal ends it.
 */
async function withAttribute<T>(
  { directory, file, signal }: Attribute,
  verb: string,
  flags: number,
  use: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const handle = await step(directory, `open ${file}`, () => openIfPresent(file, flags));
    if (handle !== undefined) return await step(directory, `${verb} ${file}`, () => useAndClose(handle, use));
    await sleep(directory.clock, pollMs, signal);
  }
}

async function openIfPresent(file: string, flags: number): Promise<FileHandle | undefined> {
  try {
    return await open(file, flags);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function useAndClose<T>(handle: FileHandle, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await use(handle);
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
  await handle.close();
  return result;
}

const explanations: Readonly<Record<string, string>> = {
  ENOENT: 'the kernel has no configfs-tsm, or it is not mounted',
  ENXIO: 'no driver provides reports; load sev-guest or tdx-guest',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  EINVAL: 'the kernel refuses the value',
  EIO: 'the firmware refused the request',
};

/** Does one step; a failed system call becomes a reason. */
async function step<T>({ namespace }: TsmDirectory, what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    if (code === 'EAGAIN' || code === 'EBUSY') throw new DeviceBusy(what, { cause: error });
    throw generationFailed(namespace, `cannot ${what}: ${explanations[code] ?? code} (${code}).`, error);
  }
}
