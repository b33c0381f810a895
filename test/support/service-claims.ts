import { createHash } from 'node:crypto';
import { boundReportData, runtimeData } from '@muster/shared/evidence/service-token/runtime-data.js';
import { nonce, reportData } from './service-tokens.js';

/** The claims of a token. */
export type Claims = { readonly [claim: string]: unknown };

/** What Azure's hardware signs for the binding of the tests. */
export const bound = boundReportData(runtimeData(reportData));

/** Of an Azure container instance. */
export const aciClaims: Claims = {
  iss: 'https://sharedeus.eus.attest.azure.net',
  'x-ms-attestation-type': 'sevsnpvm',
  'x-ms-compliance-status': 'azure-compliant-uvm',
  'x-ms-sevsnpvm-hostdata': 'ab'.repeat(32),
  'x-ms-sevsnpvm-is-debuggable': false,
  'x-ms-sevsnpvm-migration-allowed': false,
  'x-ms-sevsnpvm-vmpl': 0,
  'x-ms-sevsnpvm-reportdata': bound,
  'x-ms-runtime': JSON.parse(runtimeData(reportData).toString()) as unknown,
};

/** Of an Azure confidential VM. */
export const maaClaims: Claims = {
  iss: 'https://mine.attest.azure.net',
  'x-ms-attestation-type': 'azurevm',
  'x-ms-isolation-tee': {
    'x-ms-attestation-type': 'sevsnpvm',
    'x-ms-compliance-status': 'azure-compliant-cvm',
    'x-ms-sevsnpvm-is-debuggable': false,
    'x-ms-sevsnpvm-migration-allowed': false,
    'x-ms-sevsnpvm-vmpl': 0,
  },
  'x-ms-runtime': { 'client-payload': { nonce: Buffer.from(nonce).toString('base64') } },
};

/** What a TDX machine holds for Intel Trust Authority, and the nonce of the service. */
export const held = runtimeData(reportData);
export const itaNonce = {
  val: Buffer.from('the nonce of the service'),
  iat: Buffer.from('2026-01-01 00:00:00 +0000 UTC'),
};
export const freshness = {
  val: itaNonce.val.toString('base64'),
  iat: itaNonce.iat.toString('base64'),
  signature: 'AAAA',
};

/** The report data of a quote that Intel Trust Authority asked for. */
export function itaReportData(heldData: Uint8Array): string {
  return createHash('sha512')
    .update(Buffer.concat([itaNonce.val, itaNonce.iat, heldData]))
    .digest('hex');
}

/** Of Intel Trust Authority, version 1. */
export const itaClaims: Claims = {
  iss: 'Intel Trust Authority',
  attester_type: 'TDX',
  attester_tcb_status: 'UpToDate',
  attester_held_data: held.toString('base64'),
  verifier_nonce: freshness,
  tdx_report_data: itaReportData(held),
  tdx_is_debuggable: false,
  policy_ids_matched: [{ id: 'one', version: 'v1' }],
};

/** Of Intel Trust Authority, version 2. */
export const nestedItaClaims: Claims = {
  iss: 'https://portal.trustauthority.intel.com',
  tdx: {
    attester_type: 'TDX',
    attester_tcb_status: 'UpToDate',
    attester_runtime_data: JSON.parse(held.toString()) as unknown,
    verifier_nonce: freshness,
    tdx_report_data: itaReportData(held),
    tdx_is_debuggable: false,
  },
};

/** Of Trustee, in EAR form. */
export const trusteeClaims: Claims = {
  iss: 'CoCo-Attestation-Service',
  eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
  'ear.verifier-id': {
    developer: 'https://confidentialcontainers.org',
    build: 'attestation-service 0.1.0',
  },
  submods: {
    cpu0: {
      'ear.status': 'affirming',
      'ear.veraison.annotated-evidence': {
        runtime_data_claims: { nonce: Buffer.from(nonce, 'hex').toString('base64') },
      },
    },
  },
};

/** Of NVIDIA's service, about one device. */
export function nrasDevice(index: number, changes: Claims = {}): Claims {
  return {
    iss: 'https://nras.attestation.nvidia.com',
    eat_nonce: nonce,
    ueid: `48000000000000000000${index}`,
    hwmodel: 'GH100 A01 GSP BROM',
    measres: 'success',
    secboot: true,
    dbgstat: 'disabled',
    'x-nvidia-attestation-warning': null,
    'x-nvidia-gpu-attestation-report-nonce-match': true,
    'x-nvidia-gpu-driver-version': '550.90.07',
    'x-nvidia-gpu-driver-rim-cert-chain': {
      'x-nvidia-cert-status': 'valid',
      'x-nvidia-cert-ocsp-status': 'good',
    },
    ...changes,
  };
}
