import { parseOcspResponse } from '@muster/shared/evidence/x-nv-gpu/ocsp.js';
import { readOcspResponse } from '@muster/shared/evidence/x-nv-gpu/collateral.js';
import { certificateFwid } from '@muster/shared/evidence/x-nv-gpu/fwid.js';
import { useFault } from '@muster/shared/evidence/x-nv-gpu/chain.js';
import { chipOf } from '@muster/shared/evidence/x-nv-gpu/device-chain.js';
import {
  chipCertificateKind,
  cspOf,
  productOfCertificate,
} from '@muster/shared/evidence/x-snp/chip-certificate.js';
import { possibleIssuers, tpmClaims } from '@muster/shared/evidence/x-tpm/ek-chain.js';
import { readPckPlatform } from '@muster/shared/evidence/x-tdx/pck-extension.js';
import { splitPckChain } from '@muster/shared/evidence/x-tdx/pem-chain.js';
import { parseCertificate, parseCrl, splitCertificates } from '@muster/shared/evidence/x509.js';
import { openCertificateRequest, createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { readTrustBundle } from '@muster/shared/pki/trust-bundle.js';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { snpHierarchy } from '../../support/snp-builder.js';
import { goodResponses, simulatedGpu } from '../../support/nvidia-device.js';
import { rimDocuments } from '../../support/nvidia-case.js';
import { snpCase } from '../../support/snp-case.js';
import { intelCrl, intelHierarchy, pckCertificate, pemOf } from '../../support/tdx-builder.js';
import { parserTarget, partOf, single, type NamedTarget } from '../target.js';
import { hex } from './appraisal.js';

function certificates(): readonly Uint8Array[] {
  const intel = intelHierarchy();
  return [
    ...snpCase().endorsements.certificates,
    pckCertificate(intel).certificate,
    intel.root.certificate,
    ...simulatedGpu().chain.map(({ certificate }) => certificate),
    ...simulatedGpu({ chip: 'GB100' })
      .chain.slice(0, 1)
      .map(({ certificate }) => certificate),
  ];
}

/** Everything that is read out of a certificate before or after its signature was verified. */
function readAll(der: Uint8Array): void {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return;
  chipCertificateKind(certificate);
  cspOf(certificate);
  productOfCertificate(certificate);
  readPckPlatform(certificate.extensions);
  certificateFwid(certificate);
  tpmClaims(certificate);
  possibleIssuers([certificate, certificate]);
  useFault(certificate, 0);
  useFault(certificate, 1);
  chipOf([certificate, certificate]);
}

function request(): Uint8Array {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return createCertificateRequest(privateKey, createPublicKey(privateKey));
}

/** Certificates, revocation lists, OCSP responses, certificate requests. */
export const x509Targets: readonly NamedTarget[] = [
  parserTarget('x509-certificate', readAll, certificates),
  parserTarget(
    'x509-certificates',
    (bytes) => splitCertificates(bytes)?.map(readAll),
    () => [pemOf(...certificates().slice(0, 3))],
  ),
  parserTarget('x509-crl', parseCrl, () => {
    const { pckCa } = intelHierarchy();
    return [...snpCase().endorsements.crls, intelCrl(pckCa, { revoked: [1, 2, 3] }), intelCrl(pckCa)];
  }),
  parserTarget(
    'ocsp-response',
    (bytes) => {
      parseOcspResponse(bytes);
      readOcspResponse(bytes);
    },
    () => [...goodResponses(simulatedGpu().chain, 1), ...rimDocuments.slice(2)].map(({ content }) => content),
  ),
  parserTarget('pck-chain', splitPckChain, () => {
    const intel = intelHierarchy();
    return [pemOf(intel.pckCa.certificate, intel.root.certificate)];
  }),
  parserTarget(
    'trust-bundle',
    (bytes) => readTrustBundle([bytes], 'hospitals.example'),
    () => [snpHierarchy().ark.certificate],
  ),
  {
    name: 'certificate-request',
    make: () => ({
      seeds: [single(request()), single(request())],
      run: (input) => [hex(openCertificateRequest(partOf(input, '')))],
    }),
  },
];
