import { constants, sign } from 'node:crypto';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { parseEvidence as parseAzureEvidence } from '@muster/shared/evidence/x-az-cvm/evidence.js';
import { parseHclReport } from '@muster/shared/evidence/x-az-cvm/hcl-report.js';
import type { AzureCvmPolicy } from '@muster/shared/evidence/x-az-cvm/policy.js';
import { azureCvmVerifier } from '@muster/shared/evidence/x-az-cvm/verifier.js';
import {
  formatEvidence,
  parseAttestationKey,
  parseEvidence,
} from '@muster/shared/evidence/x-tpm/evidence.js';
import { parseQuote } from '@muster/shared/evidence/x-tpm/quote.js';
import { parseSignature } from '@muster/shared/evidence/x-tpm/signature.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { tpmCase } from '../../shared/evidence/x-tpm/tpm-case.js';
import {
  azureMachine,
  hclReport,
  runtimeJson,
  vtpmKey,
  type AzureMachine,
} from '../../support/azure-builder.js';
import { at } from '../../support/snp-case.js';
import {
  ec384Key,
  ecKey,
  pcrValues,
  rsaKey,
  signQuote,
  tpmName,
  tpmPublic,
  tpmQuote,
} from '../../support/tpm-builder.js';
import { hasVectors, vector } from '../../support/vector-files.js';
import { parserTarget, type NamedTarget } from '../target.js';
import { hex, verifierTarget } from './appraisal.js';

/** The quote in JSON evidence, which the attestation key signs, and that key, which the policy pins. */
function signedQuote(evidence: Uint8Array): string {
  const parsed = parseEvidence(evidence);
  return parsed === undefined ? '' : hex(parsed.tpm_quote.message, parsed.ak_public);
}

/** The quote, the hardware's report and the runtime data that it is bound to. */
function signedByMachine(evidence: Uint8Array): string {
  const azure = parseAzureEvidence(evidence);
  if (azure === undefined) return '';
  const report = Buffer.from(azure.hcl_report);
  const end = 1236 + report.readUInt32LE(1232);
  const hardware = azure.td_quote?.subarray(0, 632) ?? report.subarray(32, 32 + 0x2a0);
  return hex(azure.tpm_quote.message, hardware, report.subarray(1236, end));
}

function machine(options: AzureMachine = {}): AppraisalInput<AzureCvmPolicy> {
  const { evidence, endorsements, simulatedRoots } = azureMachine(options);
  return {
    evidence: { namespace: 'x-az-cvm', evidence },
    endorsements,
    policy: azureCvmVerifier.policySchema.parse({}),
    at,
    simulatedRoots,
  };
}

function realMachine(version: string): AppraisalInput<AzureCvmPolicy> {
  return {
    evidence: { namespace: 'x-az-cvm', evidence: vector(`azure/${version}/evidence.json`) },
    endorsements: { certificates: [], crls: [] },
    policy: azureCvmVerifier.policySchema.parse({ revocation: 'optional' }),
    at: new Date('2026-11-01T00:00:00Z'),
    simulatedRoots: [],
  };
}

const words = [
  'ak_public',
  'tpm_quote',
  'message',
  'signature',
  'pcrs',
  'version',
  'hcl_report',
  'vcek',
  'td_quote',
];

/** TPM quotes, and the virtual TPMs of Azure's machines. */
export const tpmTargets: readonly NamedTarget[] = [
  parserTarget('tpm-quote', parseQuote, () => [tpmQuote(), tpmQuote({ selection: [] })]),
  parserTarget('tpm-key', parseAttestationKey, () => [
    ...[rsaKey, ecKey, ec384Key].map((key) => tpmPublic(key)),
    ecKey.publicKey.export({ format: 'der', type: 'spki' }),
  ]),
  parserTarget('tpm-signature', parseSignature, () =>
    [rsaKey, ecKey].map((key) => signQuote(tpmQuote(), key)),
  ),
  parserTarget('tpm-evidence', parseEvidence, () => [tpmCase().evidence.evidence], { words }),
  verifierTarget({
    name: 'tpm-verifier',
    verifier: tpmVerifier,
    signed: signedQuote,
    words,
    cases: () => [
      tpmCase({ pinned: [rsaKey, ecKey].map((key) => tpmName(tpmPublic(key))) }),
      tpmCase({ key: ecKey }),
      tpmCase({ key: ec384Key }),
    ],
  }),
  verifierTarget({
    name: 'tpm-verifier-signed',
    verifier: tpmVerifier,
    signed: hex,
    sign: (message) =>
      formatEvidence({
        ak_public: tpmPublic(ecKey),
        tpm_quote: { message, signature: signQuote(message, ecKey), pcrs: [...pcrValues({})] },
      }),
    cases() {
      const base = tpmCase({ key: ecKey });
      const { tpm_quote } = parseEvidence(base.evidence.evidence) ?? {};
      return [{ ...base, evidence: { ...base.evidence, evidence: tpm_quote?.message ?? new Uint8Array() } }];
    },
  }),
  parserTarget('az-cvm-evidence', parseAzureEvidence, () => [machine().evidence.evidence], { words }),
  parserTarget('az-hcl-report', parseHclReport, () => [
    hclReport('snp', new Uint8Array(1184), runtimeJson()),
  ]),
  verifierTarget({
    name: 'az-cvm-verifier',
    verifier: azureCvmVerifier,
    signed: signedByMachine,
    words,
    cases: () => [machine(), machine({ tee: 'tdx' }), machine({ snp: { vmpl: 1 } })],
  }),
  verifierTarget({
    name: 'az-cvm-verifier-signed',
    verifier: azureCvmVerifier,
    signed: hex,
    sign: (runtime) => {
      const key = { key: vtpmKey.privateKey, padding: constants.RSA_PKCS1_PADDING };
      const message = tpmQuote();
      const tpm_quote = {
        message: hex(message),
        signature: hex(sign('sha256', message, key)),
        pcrs: pcrValues({}).map((value) => hex(value)),
      };
      const hcl_report = hclReport('snp', new Uint8Array(1184), runtime.subarray(0, 1_364)).toString(
        'base64',
      );
      return Buffer.from(JSON.stringify({ version: 1, hcl_report, tpm_quote }));
    },
    cases: () => [{ ...machine(), evidence: { namespace: 'x-az-cvm', evidence: runtimeJson() } }],
  }),
  ...(hasVectors
    ? [
        verifierTarget({
          name: 'az-cvm-verifier-real',
          verifier: azureCvmVerifier,
          signed: signedByMachine,
          words,
          cases: () => ['snp-vtpm-v1', 'snp-vtpm-v0', 'tdx-vtpm-v1'].map(realMachine),
        }),
      ]
    : []),
];
