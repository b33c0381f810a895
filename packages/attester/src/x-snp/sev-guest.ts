import { open, type FileHandle } from 'node:fs/promises';
import { sleep, type Clock } from '@muster/shared/clock.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { errnoOf, generationFailed } from '../attester.js';
import { loadIoctl, type Ioctl } from './ioctl.js';
import { maxCertificateTableBytes, namespace, reportBytes, toEvidence } from './report.js';

/** The guest device of kernels older than configfs-tsm. */
export interface SevGuestDevice {
  /** Usually /dev/sev-guest. */
  readonly path: string;
  /** The VMPL that the report is asked for; undefined for 0. */
  readonly vmpl?: number | undefined;
  /** The library that `ioctl` comes from; undefined for this process's own C library. */
  readonly library?: string | undefined;
  readonly clock: Clock;
}

/*
 * One block of memory for a request, laid out by linux/sev-guest.h. The ioctl's argument is struct
 * snp_guest_request_ioctl {u8 msg_version; u64 req_data; u64 resp_data; u32 fw_error; u32 vmm_error}; the request is
 * struct snp_ext_report_req {u8 user_data[64]; u32 vmpl; u8 rsvd[28]; u64 certs_address; u32 certs_len}, of which the
 * first 96 bytes are struct snp_report_req; the response is struct snp_report_resp {u8 data[4000]}.
 */
const argument = { offset: 0, request: 8, response: 16, firmwareError: 24, hostError: 28 } as const;
const request = { offset: 32, vmpl: 64, certificates: 96, certificatesLength: 104 } as const;
const response = { offset: 160, bytes: 4000 } as const;
const certificatesOffset = response.offset + response.bytes;

const snpGetReport = 0xc020_5300;
const snpGetExtReport = 0xc020_5302;
const messageVersion = 1;

/** MSG_REPORT_RSP (SEV-SNP ABI): a status, the report's size, and the report behind a header. */
const reportResponse = { status: 0, size: 4, report: 0x20 } as const;

/** Codes of the hypervisor (GHCB specification, SNP Guest Request). */
const hostInvalidLength = 1;
const hostBusy = 2;

const pageBytes = 4096;
const entryBytes = 24;
const maxAttempts = 8;
const firstPauseMs = 100;

/**
 * Collects an SNP report and, where the host provides one, its certificate table through the ioctls of the guest
 * device. A busy device is asked again, at most eight times.
 * Errors: ATTESTATION_GENERATION_FAILED; the signal's reason.
 */
export async function collectFromSevGuest(
  device: SevGuestDevice,
  reportData: Uint8Array,
  signal: AbortSignal,
): Promise<Evidence> {
  const ioctl = await loadIoctl(device.library);
  const handle = await openDevice(device.path);
  try {
    const { report, table } = await ask(handle, ioctl, device, reportData, signal);
    return toEvidence(report, table, reportData);
  } finally {
    await handle.close();
  }
}

async function ask(
  { fd }: FileHandle,
  ioctl: Ioctl,
  { path, vmpl = 0, clock }: SevGuestDevice,
  reportData: Uint8Array,
  signal: AbortSignal,
): Promise<{ readonly report: Uint8Array; readonly table: Uint8Array }> {
  let code = snpGetExtReport;
  let tableBytes = 4 * pageBytes;
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    signal.throwIfAborted();
    const memory = layOut(reportData, vmpl, tableBytes, ioctl.addressOf);
    const errno = await ioctl.call(fd, code, memory);
    const hostError = memory.readUInt32LE(argument.hostError);
    const firmwareError = memory.readUInt32LE(argument.firmwareError);
    if (errno === undefined && hostError === 0 && firmwareError === 0) {
      const extended = code === snpGetExtReport;
      const table = extended ? usedPart(memory.subarray(certificatesOffset)) : new Uint8Array();
      return { report: readReport(memory), table };
    }
    if (hostError === hostInvalidLength) {
      tableBytes = wantedTableBytes(memory, tableBytes);
    } else if (hostError === hostBusy || errno === 'EAGAIN' || errno === 'EBUSY') {
      await sleep(clock, firstPauseMs * 2 ** attempt, signal);
    } else if (errno === 'ENOTTY' && code === snpGetExtReport) {
      // Without extended requests the certificates come from a cache or from AMD's service.
      code = snpGetReport;
    } else {
      throw failed(path, errno, firmwareError, hostError);
    }
  }
  throw generationFailed(namespace, `${path} was busy in each of ${maxAttempts} attempts.`);
}

function layOut(
  reportData: Uint8Array,
  vmpl: number,
  tableBytes: number,
  addressOf: Ioctl['addressOf'],
): Buffer {
  const memory = Buffer.alloc(certificatesOffset + tableBytes);
  const base = addressOf(memory);
  memory.writeUInt8(messageVersion, argument.offset);
  memory.writeBigUInt64LE(base + BigInt(request.offset), argument.request);
  memory.writeBigUInt64LE(base + BigInt(response.offset), argument.response);
  memory.set(reportData, request.offset);
  memory.writeUInt32LE(vmpl, request.offset + request.vmpl);
  memory.writeBigUInt64LE(base + BigInt(certificatesOffset), request.offset + request.certificates);
  memory.writeUInt32LE(tableBytes, request.offset + request.certificatesLength);
  return memory;
}

/** The length that the host asks for, in whole pages. Errors: ATTESTATION_GENERATION_FAILED when it is none. */
function wantedTableBytes(memory: Buffer, offered: number): number {
  const wanted = memory.readUInt32LE(request.offset + request.certificatesLength);
  const pages = Math.ceil(wanted / pageBytes) * pageBytes;
  if (pages <= offered || pages > maxCertificateTableBytes) {
    throw generationFailed(namespace, `the host wants ${wanted} bytes for its certificate table.`);
  }
  return pages;
}

function readReport(memory: Buffer): Uint8Array {
  const data = memory.subarray(response.offset, response.offset + response.bytes);
  const status = data.readUInt32LE(reportResponse.status);
  if (status !== 0) {
    const hint = status === 0x16 ? ' (invalid parameters: is the VMPL more privileged than the guest?)' : '';
    throw generationFailed(namespace, `the firmware answered with status 0x${status.toString(16)}${hint}.`);
  }
  const size = data.readUInt32LE(reportResponse.size);
  if (size !== reportBytes) {
    throw generationFailed(namespace, `the firmware returned ${size} bytes instead of ${reportBytes}.`);
  }
  return new Uint8Array(data.subarray(reportResponse.report, reportResponse.report + size));
}

/** The table without the unused rest of its buffer: entries {guid[16], u32 offset, u32 length} up to a zero GUID. */
function usedPart(table: Buffer): Uint8Array {
  let used = 0;
  for (let entry = 0; entry + entryBytes <= table.length; entry += entryBytes) {
    if (table.subarray(entry, entry + 16).every((byte) => byte === 0)) {
      return new Uint8Array(table.subarray(0, entry === 0 ? 0 : Math.max(used, entry + entryBytes)));
    }
    used = Math.max(used, table.readUInt32LE(entry + 16) + table.readUInt32LE(entry + 20));
  }
  throw generationFailed(namespace, 'the certificate table of the host has no end.');
}

const explanations: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist; load the driver sev-guest',
  ENXIO: 'it has no driver; load sev-guest',
  ENODEV: 'it has no driver; load sev-guest',
  EACCES: 'this user may not use it',
  EPERM: 'this user may not use it',
  ENOTTY: 'it is not an SEV-SNP guest device',
  EINVAL: 'the driver refuses the request',
  EIO: 'the firmware or the host refused the request',
};

async function openDevice(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    throw failed(path, errnoOf(error), 0, 0, error);
  }
}

function failed(
  path: string,
  errno: string | undefined,
  firmwareError: number,
  hostError: number,
  cause?: unknown,
): Error {
  const parts = [
    ...(errno === undefined ? [] : [`${explanations[errno] ?? 'the call failed'} (${errno})`]),
    ...(firmwareError === 0 ? [] : [`firmware error 0x${firmwareError.toString(16)}`]),
    ...(hostError === 0 ? [] : [`host error 0x${hostError.toString(16)}`]),
  ];
  return generationFailed(namespace, `${path}: ${parts.join(', ')}.`, cause);
}
