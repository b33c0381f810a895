import { loadYaml, validate } from '@muster/shared/config/load.js';
import { refusal } from '@muster/shared/errors.js';
import { fileProblem } from '@muster/shared/files.js';
import type { AppraisalInput, EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { gpuNonceLength } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { verifierOf, verifiers } from '@muster/shared/evidence/verifiers.js';
import { parseCertificate, splitCertificates } from '@muster/shared/evidence/x509.js';
import { readFileSync, statSync } from 'node:fs';
import * as z from 'zod';

/** The largest file of evidence or endorsements that is read, bytes. */
const maxFileBytes = 16 * 1024 * 1024;
/** Length of the field that binds evidence to a nonce, bytes. */
const reportDataLength = 64;

/** The verifier that `--namespace` names. Errors: ARGUMENT_INVALID. */
export function requireVerifier(namespace: string): EvidenceVerifier {
  const verifier = verifierOf(namespace);
  if (verifier !== undefined) return verifier;
  const known = verifiers.map((candidate) => candidate.namespace).join(', ');
  throw refusal('ARGUMENT_INVALID', {
    message: `--namespace: no verifier knows ${namespace}; known: ${known}.`,
    path: '--namespace',
  });
}

/** Reads a file of evidence. Errors: FILE_UNREADABLE, ARGUMENT_INVALID for one over 16 MiB. */
export function readBytes(file: string): Uint8Array {
  try {
    if (statSync(file).size <= maxFileBytes) return Uint8Array.from(readFileSync(file));
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${file} cannot be read: ${fileProblem(cause)}.`, path: file },
      cause,
    );
  }
  throw refusal('ARGUMENT_INVALID', {
    message: `${file} is larger than ${maxFileBytes} bytes.`,
    path: file,
  });
}

/** Reads the certificates of a file, PEM or DER, one or several. Errors: FILE_UNREADABLE, ARGUMENT_INVALID. */
export function readCertificates(file: string): readonly Uint8Array[] {
  const certificates = splitCertificates(readBytes(file));
  const isUsable =
    certificates !== undefined && certificates.every((der) => parseCertificate(der) !== undefined);
  if (isUsable) return certificates;
  throw refusal('ARGUMENT_INVALID', {
    message: `--cert: ${file} holds no certificate that can be read, PEM or DER.`,
    path: file,
  });
}

/**
 * Reads `--nonce` as what the evidence is bound to: an NVIDIA device answers the nonce itself, 32 bytes, everything else
 * carries report data. Errors: ARGUMENT_INVALID.
 */
export function readBinding(
  namespace: string,
  hex: string | undefined,
): Pick<AppraisalInput<unknown>, 'nonce' | 'reportData'> {
  if (hex === undefined) return {};
  if (namespace !== 'x-nv-gpu') return { reportData: parseReportData(hex) };
  if (/^[0-9a-fA-F]*$/.test(hex) && hex.length === 2 * gpuNonceLength) {
    return { nonce: Uint8Array.from(Buffer.from(hex, 'hex')) };
  }
  throw refusal('ARGUMENT_INVALID', {
    message: `--nonce: ${namespace} has a nonce of ${gpuNonceLength} bytes, in hex.`,
    path: '--nonce',
  });
}

/** Up to 64 bytes in hex, padded with zeros on the right. Errors: ARGUMENT_INVALID. */
function parseReportData(hex: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2}){1,64}$/.test(hex)) {
    throw refusal('ARGUMENT_INVALID', {
      message: '--nonce: expected 1 to 64 bytes in hex.',
      path: '--nonce',
    });
  }
  const reportData = new Uint8Array(reportDataLength);
  reportData.set(Buffer.from(hex, 'hex'));
  return reportData;
}

/** Reads `--at`. Errors: ARGUMENT_INVALID. */
export function parseTime(text: string): Date {
  const result = z.iso.datetime({ offset: true }).safeParse(text);
  const time = new Date(text);
  if (result.success && !Number.isNaN(time.getTime())) return time;
  throw refusal('ARGUMENT_INVALID', {
    message: `--at: ${JSON.stringify(text)} is not a time such as 2026-01-31T12:00:00Z.`,
    path: '--at',
  });
}

/**
 * Reads a policy file, whole or the namespace's part alone. Unlike the server this command takes revocation lists as
 * optional unless the file demands them: an auditor often has none. Nor does it expect a machine with its GPUs: the
 * evidence may be of switches alone. Errors: FILE_UNREADABLE, POLICY_INVALID.
 */
export function readPolicy(verifier: EvidenceVerifier, file: string | undefined): unknown {
  const part = z.preprocess(
    (value) => (isRecord(value) ? { ...auditorDefaults(verifier), ...value } : value),
    verifier.policySchema,
  );
  if (file === undefined) return part.parse({});
  const document = loadYaml(file, z.unknown(), 'POLICY_INVALID');
  if (!isRecord(document) || !('namespaces' in document)) {
    return validate(document, part, 'POLICY_INVALID', file);
  }
  const { namespace } = verifier;
  const whole = z.looseObject({ namespaces: z.looseObject({ [namespace]: part.prefault({}) }) });
  return validate(document, whole, 'POLICY_INVALID', file).namespaces[namespace];
}

function auditorDefaults({ namespace, policySchema }: EvidenceVerifier): object {
  const revocation = { revocation: 'optional' };
  return {
    ...(policySchema.safeParse(revocation).success && revocation),
    ...(namespace === 'x-nv-gpu' && { gpus: {} }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
