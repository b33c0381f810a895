import { refusal } from '@muster/shared/errors.js';
import type { EndorsementDocument, Endorsements } from '@muster/shared/evidence/appraisal.js';
import { noEndorsements } from '@muster/shared/evidence/endorsements.js';
import { readOcspResponse } from '@muster/shared/evidence/x-nv-gpu/collateral.js';
import { joinDocument } from '@muster/shared/evidence/x-tdx/collateral.js';
import { parseCrl, splitCertificates } from '@muster/shared/evidence/x509.js';
import * as z from 'zod';
import { readBytes } from './input.js';

/** How `--collateral` is read; one line per namespace that has it. */
const readers: Readonly<Record<string, (file: string) => Endorsements>> = {
  'x-snp': readCrl,
  'x-tdx': readTdxCollateral,
  'x-nv-gpu': readOcspResponses,
  'x-az-cvm': (file) => (isJson(readBytes(file)) ? readTdxCollateral(file) : readCrl(file)),
};

/** Reads the file of `--collateral` as the namespace has it. Errors: FILE_UNREADABLE, ARGUMENT_INVALID. */
export function readCollateral(namespace: string, file: string): Endorsements {
  const read = readers[namespace];
  if (read !== undefined) return read(file);
  throw refusal('ARGUMENT_INVALID', {
    message: `--collateral: ${namespace} has none.`,
    path: '--collateral',
  });
}

/**
 * Reads the files of `--rim`. What is wrong inside a manifest is for the verifier to say.
 * Errors: FILE_UNREADABLE, ARGUMENT_INVALID where the namespace has no manifests.
 */
export function readManifests(
  namespace: string,
  files: readonly string[] = [],
): readonly EndorsementDocument[] {
  if (files.length > 0 && namespace !== 'x-nv-gpu') {
    throw refusal('ARGUMENT_INVALID', {
      message: `--rim: ${namespace} has no reference integrity manifests.`,
      path: '--rim',
    });
  }
  return files.map((file) => ({ kind: 'nvidia-rim', content: readBytes(file) }));
}

/** One OCSP response in DER, or one in base64 a line. */
function readOcspResponses(file: string): Endorsements {
  const bytes = readBytes(file);
  const text = Buffer.from(bytes).toString('latin1');
  const isText = /^[A-Za-z0-9+/=\s]+$/.test(text);
  const parts = isText
    ? text
        .split(/\s+/)
        .filter((line) => line !== '')
        .map((line) => Buffer.from(line))
    : [bytes];
  const read = parts.map(readOcspResponse).filter((response) => response !== undefined);
  if (read.length < parts.length || read.length === 0) {
    throw refusal('ARGUMENT_INVALID', {
      message: `--collateral: ${file} holds no OCSP responses that can be read, DER or base64.`,
      path: file,
    });
  }
  return { ...noEndorsements, documents: read.map(({ content }) => ({ kind: 'ocsp', content })) };
}

function isJson(bytes: Uint8Array): boolean {
  return bytes[0] === '{'.charCodeAt(0);
}

/** A certificate revocation list, PEM or DER. */
function readCrl(file: string): Endorsements {
  const bytes = readBytes(file);
  const [, base64] =
    /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/.exec(
      Buffer.from(bytes).toString('latin1'),
    ) ?? [];
  const der = base64 === undefined ? bytes : Uint8Array.from(Buffer.from(base64, 'base64'));
  if (parseCrl(der) !== undefined) return { ...noEndorsements, crls: [der] };
  throw refusal('ARGUMENT_INVALID', {
    message: `--collateral: ${file} holds no certificate revocation list that can be read, PEM or DER.`,
    path: file,
  });
}

const tdxCollateralSchema = z.object({
  pck_crl_issuer_chain: z.string().default(''),
  root_ca_crl: z.string(),
  pck_crl: z.string(),
  tcb_info_issuer_chain: z.string().default(''),
  tcb_info: z.string(),
  tcb_info_signature: z.string(),
  qe_identity_issuer_chain: z.string().default(''),
  qe_identity: z.string(),
  qe_identity_signature: z.string(),
});

/**
 * The collateral of TDX as one JSON object: chains in PEM, lists and signatures in hex, and the two signed documents as
 * strings of exactly the signed bytes. What is wrong inside a field, or a chain that lacks, is for the verifier to say.
 */
function readTdxCollateral(file: string): Endorsements {
  const { success, data } = tdxCollateralSchema.safeParse(parseJson(readBytes(file)));
  if (!success) {
    throw refusal('ARGUMENT_INVALID', {
      message: `--collateral: ${file} is not a JSON object of strings with ${Object.keys(tdxCollateralSchema.shape).join(', ')}.`,
      path: file,
    });
  }
  const chains = [data.pck_crl_issuer_chain, data.tcb_info_issuer_chain, data.qe_identity_issuer_chain];
  return {
    certificates: chains
      .filter((chain) => chain !== '')
      .map((chain) => Buffer.from(chain))
      .flatMap((chain) => splitCertificates(chain) ?? [chain]),
    crls: [data.root_ca_crl, data.pck_crl].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
    documents: [
      {
        kind: 'tdx-tcb-info',
        content: joinDocument('tcbInfo', data.tcb_info, data.tcb_info_signature),
      },
      {
        kind: 'tdx-qe-identity',
        content: joinDocument('enclaveIdentity', data.qe_identity, data.qe_identity_signature),
      },
    ],
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}
