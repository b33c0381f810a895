import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import { splitCertificates } from '../x509.js';

/** One device's part of the evidence. */
export interface DeviceEvidence {
  /** The SPDM request and response. */
  readonly report: Uint8Array;
  /** Its certificate chain, DER, the device's own certificate first; undefined when it comes from elsewhere. */
  readonly certificates?: readonly Uint8Array[];
}

/** The confidential computing settings that the driver told the attester: not signed, believed as the VM is. */
export interface DriverSettings {
  readonly devtools_mode: boolean;
  readonly multi_gpu_mode: 'none' | 'ppcie' | 'nvle';
}

/** The evidence of all devices of a machine. */
export interface GpuEvidenceDocument {
  readonly devices: readonly DeviceEvidence[];
  readonly settings?: DriverSettings;
}

/** More than any machine has. */
const maxDevices = 32;
/** Far more than a device delivers: a report of 8 KiB and a chain of 5 KiB. */
const maxReportBytes = 16 * 1024;
const maxChainBytes = 64 * 1024;
const maxChainCertificates = 16;
const maxDocumentBytes = 4 * 1024 * 1024;

function base64(maxBytes: number): z.ZodType<Uint8Array, string> {
  return z
    .base64()
    .min(1)
    .max(Math.ceil(maxBytes / 3) * 4)
    .transform((text) => new Uint8Array(Buffer.from(text, 'base64')));
}

/** What Muster's own attester writes. */
const musterDocument = z.strictObject({
  devices: z
    .array(
      z.strictObject({
        evidence: base64(maxReportBytes),
        certificates: z.array(base64(maxChainBytes)).min(1).max(maxChainCertificates),
      }),
    )
    .min(1)
    .max(maxDevices),
  settings: z
    .strictObject({ devtools_mode: z.boolean(), multi_gpu_mode: z.enum(['none', 'ppcie', 'nvle']) })
    .optional(),
});

/** What `nvattest collect-evidence` writes; its other fields repeat what the evidence says, unsigned. */
const nvattestDevices = z
  .array(z.looseObject({ evidence: base64(maxReportBytes), certificate: base64(maxChainBytes) }))
  .min(1)
  .max(maxDevices);
const nvattestDocument = z.union([nvattestDevices, z.looseObject({ evidences: nvattestDevices })]);

/** Writes a document for a token: JSON, byte strings in base64. */
export function writeDocument({ devices, settings }: GpuEvidenceDocument): Uint8Array {
  const base64Of = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const document = {
    devices: devices.map(({ report, certificates = [] }) => ({
      evidence: base64Of(report),
      certificates: certificates.map(base64Of),
    })),
    ...(settings === undefined ? {} : { settings }),
  };
  return Uint8Array.from(Buffer.from(JSON.stringify(document)));
}

/**
 * Reads evidence in any of its forms: a document of Muster or of `nvattest collect-evidence`, or the report of one device
 * as hex text or as it is. Returns NV_EVIDENCE_FORMAT for anything else.
 */
export function readDocument(bytes: Uint8Array): GpuEvidenceDocument | Reason {
  if (bytes.length > maxDocumentBytes) return formatReason(`it is longer than ${maxDocumentBytes} bytes`);
  const text = Buffer.from(bytes).toString('latin1');
  const first = /\S/.exec(text)?.[0];
  if (first === '{' || first === '[') return readJson(text);
  if (/^[0-9a-fA-F\s]+$/.test(text)) {
    const hex = text.replace(/\s/g, '');
    if (hex.length % 2 === 1) return formatReason('it is hex text of odd length');
    return { devices: [{ report: Uint8Array.from(Buffer.from(hex, 'hex')) }] };
  }
  return bytes.length === 0 ? formatReason('it is empty') : { devices: [{ report: bytes }] };
}

function readJson(text: string): GpuEvidenceDocument | Reason {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return formatReason('it is no JSON');
  }
  const own = musterDocument.safeParse(value);
  if (own.success) {
    const { devices, settings } = own.data;
    return {
      devices: devices.map(({ evidence, certificates }) => ({ report: evidence, certificates })),
      ...(settings === undefined ? {} : { settings }),
    };
  }
  const foreign = nvattestDocument.safeParse(value);
  if (!foreign.success) return formatReason('its JSON is of neither Muster nor nvattest');
  const entries = Array.isArray(foreign.data) ? foreign.data : foreign.data.evidences;
  const devices = entries.map(({ evidence, certificate }) => ({
    report: evidence,
    certificates: splitCertificates(certificate),
  }));
  const readable = devices.filter(
    (device): device is Required<DeviceEvidence> => device.certificates !== undefined,
  );
  return readable.length === devices.length
    ? { devices: readable }
    : formatReason('a certificate chain is not readable');
}

function formatReason(what: string): Reason {
  return reason('NV_EVIDENCE_FORMAT', { message: `The evidence is not readable: ${what}.` });
}
