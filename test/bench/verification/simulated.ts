import { earProfile } from '@muster/shared/evidence/ear.js';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { noEndorsements } from '@muster/shared/evidence/endorsements.js';
import { boundReportData, runtimeData } from '@muster/shared/evidence/service-token/runtime-data.js';
import { verifierOf } from '@muster/shared/evidence/verifiers.js';
import { writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { azureMachine } from '../../support/azure-builder.js';
import { deviceOf, driverRim, rimDocuments } from '../../support/nvidia-case.js';
import { defaultNonce, goodResponses, nvTime, range, simulatedGpu } from '../../support/nvidia-device.js';
import { at, keySet, nonce, reportData, serviceKey, signToken } from '../../support/service-tokens.js';
import { snpCase } from '../../support/snp-case.js';
import { tdxCase } from '../../support/tdx-case.js';
import { tpmCase } from '../../shared/evidence/x-tpm/tpm-case.js';
import { ecKey, rsaKey } from '../../support/tpm-builder.js';
import type { Subject } from './subject.js';

/** More than any machine has; HGX and DGX have eight. */
export const manyGpus = 16;

/** Evidence of simulated devices and services, of each kind. */
export async function simulatedSubjects(): Promise<readonly Subject[]> {
  return [
    { name: 'x-snp', input: snpCase(), aim: 0.8 },
    { name: 'x-tdx', input: tdxCase(), aim: 1 / 3 },
    { name: 'x-nv-gpu', input: gpus(1), aim: 1 / 2 },
    { name: `x-nv-gpu, ${manyGpus} GPUs`, input: gpus(manyGpus), aim: 1 / 2 },
    { name: 'x-tpm, RSA', input: tpmCase({ key: rsaKey }) },
    { name: 'x-tpm, ECC', input: tpmCase({ key: ecKey }) },
    { name: 'x-az-cvm on SNP', input: azure('snp') },
    { name: 'x-az-cvm on TDX', input: azure('tdx') },
    ...(await Promise.all(tokens.map(tokenSubject))),
  ];
}

/** A machine with so many GPUs of one make. */
export function gpus(count: number): AppraisalInput<unknown> {
  const [first = simulatedGpu(), ...others] = range(1, count).map((index) =>
    simulatedGpu({ name: `GPU ${index}` }),
  );
  const [, , ...issuers] = first.chain;
  const machine = [
    first,
    ...others.map(({ chain: [leaf, own], ...gpu }) => ({ ...gpu, chain: [leaf, own, ...issuers] as const })),
  ];
  const [, ...ofIssuers] = goodResponses(first.chain, 1);
  const ofDevices = machine.flatMap(({ chain }) => goodResponses(chain, 1).slice(0, 1));
  return {
    evidence: {
      namespace: 'x-nv-gpu',
      evidence: writeDocument({ devices: machine.map((gpu) => deviceOf(gpu)) }),
    },
    endorsements: { ...noEndorsements, documents: [...rimDocuments, ...ofDevices, ...ofIssuers] },
    nonce: defaultNonce,
    policy: policyOf('x-nv-gpu'),
    at: nvTime,
    simulatedRoots: [first.fingerprint, driverRim.fingerprint].map((fingerprint) => ({
      namespace: 'x-nv-gpu',
      fingerprint,
    })),
  };
}

function azure(tee: 'snp' | 'tdx'): AppraisalInput<unknown> {
  const { evidence, ...rest } = azureMachine({ tee });
  const namespace = 'x-az-cvm';
  return { ...rest, evidence: { namespace, evidence }, policy: policyOf(namespace), at };
}

function policyOf(namespace: string, part: unknown = {}): unknown {
  return verifierOf(namespace)?.policySchema.parse(part);
}

type Claims = { readonly [claim: string]: unknown };

/** A token of a service, as the evidence of a namespace. */
interface TokenKind {
  readonly namespace: string;
  readonly alg: string;
  readonly claims: Claims;
}

const tokens: readonly TokenKind[] = [
  {
    namespace: 'ear',
    alg: 'ES256',
    claims: {
      iss: 'https://verifier.example',
      eat_profile: earProfile,
      eat_nonce: Buffer.from(nonce, 'hex').toString('base64url'),
      submods: { machine: { 'ear.status': 'affirming' } },
    },
  },
  {
    namespace: 'x-az-aci',
    alg: 'RS256',
    claims: {
      iss: 'https://mine.attest.azure.net',
      'x-ms-attestation-type': 'sevsnpvm',
      'x-ms-compliance-status': 'azure-compliant-uvm',
      'x-ms-sevsnpvm-hostdata': 'ab'.repeat(32),
      'x-ms-sevsnpvm-is-debuggable': false,
      'x-ms-sevsnpvm-migration-allowed': false,
      'x-ms-sevsnpvm-vmpl': 0,
      'x-ms-sevsnpvm-reportdata': boundReportData(runtimeData(reportData)),
      'x-ms-runtime': JSON.parse(runtimeData(reportData).toString()) as unknown,
    },
  },
];

async function tokenSubject({ namespace, alg, claims }: TokenKind): Promise<Subject> {
  const key = serviceKey(alg);
  const issuers = [{ issuer: claims['iss'], jwks: await keySet(key) }];
  return {
    name: `${namespace}, a token by ${alg}`,
    input: {
      evidence: { namespace, evidence: Buffer.from(await signToken(claims, key)) },
      endorsements: noEndorsements,
      reportData,
      policy: policyOf(namespace, { issuers }),
      at,
      simulatedRoots: [],
    },
  };
}
