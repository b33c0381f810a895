import { sign } from 'node:crypto';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { readManifest } from '@muster/shared/evidence/x-nv-gpu/collateral.js';
import { readDocument, writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { reportFields } from '@muster/shared/evidence/x-nv-gpu/fields.js';
import type { NvPolicy } from '@muster/shared/evidence/x-nv-gpu/policy.js';
import { parseReport } from '@muster/shared/evidence/x-nv-gpu/report.js';
import { parsePayload, readRim } from '@muster/shared/evidence/x-nv-gpu/rim.js';
import { verifyRim } from '@muster/shared/evidence/x-nv-gpu/rim-trust.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { parseXml } from '@muster/shared/evidence/x-nv-gpu/xml.js';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import { deviceOf, driverRim, firmwareRim, rimDocuments } from '../../support/nvidia-case.js';
import { defaultNonce, goodResponses, nvTime, simulatedGpu } from '../../support/nvidia-device.js';
import { ocspResponse } from '../../support/nvidia-pki.js';
import { hasVectors, vector } from '../../support/vector-files.js';
import { parserTarget, partOf, single, type NamedTarget } from '../target.js';
import { hex, verifierTarget } from './appraisal.js';

const signatureLength = 96;
const gpu = simulatedGpu();
const trust = { at: nvTime, simulatedRoots: [driverRim.fingerprint] };
const words = ['evidence', 'certificate', 'certificates', 'evidences', 'devices', 'settings', 'ppcie'];
const xmlWords = [
  '&amp;',
  '&#x41;',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '<![CDATA[',
  '<!--',
  '<?x?>',
  'xmlns:a=',
];

/** The reports in evidence without their signatures; JSON of devices, hex text, or a report as it is. */
function signedReports(evidence: Uint8Array): string {
  const document = readDocument(evidence);
  if ('code' in document) return '';
  return hex(...document.devices.map(({ report }) => report.subarray(0, report.length - signatureLength)));
}

function caseOf(
  evidence: Uint8Array,
  device = gpu,
  documents = goodResponses(device.chain, 1),
): AppraisalInput<NvPolicy> {
  return {
    evidence: { namespace: 'x-nv-gpu', evidence },
    endorsements: { certificates: [], crls: [], documents: [...rimDocuments, ...documents] },
    nonce: defaultNonce,
    policy: nvVerifier.policySchema.parse({}),
    at: nvTime,
    simulatedRoots: [device.fingerprint, driverRim.fingerprint].map((fingerprint) => ({
      namespace: 'x-nv-gpu',
      fingerprint,
    })),
  };
}

/** As `nvattest collect-evidence` writes it. */
function nvattestJson({ report, certificates }: ReturnType<typeof deviceOf>): Buffer {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const pem = certificates.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${base64(der)}\n-----END CERTIFICATE-----\n`,
  );
  const device = { arch: 'HOPPER', certificate: base64(Buffer.from(pem.join(''))), evidence: base64(report) };
  return Buffer.from(JSON.stringify({ evidences: [device], result_code: 0 }));
}

function documents(): readonly Uint8Array[] {
  const device = deviceOf(gpu);
  const settings = { devtools_mode: false, multi_gpu_mode: 'none' } as const;
  return [
    writeDocument({ devices: [device], settings }),
    nvattestJson(device),
    Buffer.from(hex(device.report)),
    device.report,
  ];
}

function cases(): readonly AppraisalInput<NvPolicy>[] {
  const other = simulatedGpu({ name: 'revoked', rootName: 'Another Device Identity CA' });
  const [, own, ica] = other.chain;
  const [, ...responses] = goodResponses(other.chain, 1);
  const revoked = ocspResponse(own, ica, { status: 'revoked' });
  return [
    ...documents()
      .slice(0, 2)
      .map((evidence) => caseOf(evidence)),
    caseOf(writeDocument({ devices: [deviceOf(gpu, { opaque: { 21: Buffer.of(0xaa) } })] })),
    caseOf(writeDocument({ devices: [deviceOf(other)] }), other, [
      { kind: 'ocsp', content: revoked },
      ...responses,
    ]),
  ];
}

function realCase(): AppraisalInput<NvPolicy> {
  const report = Buffer.from(
    Buffer.from(vector('nvidia/hopper/report.txt')).toString('latin1').trim(),
    'hex',
  );
  const manifests = ['NV_GPU_DRIVER_GH100_550.90.07', 'NV_GPU_VBIOS_1010_0200_882_96009F0001'];
  return {
    evidence: { namespace: 'x-nv-gpu', evidence: report },
    endorsements: {
      certificates: splitCertificates(vector('nvidia/hopper/cert_chain_case1.txt')) ?? [],
      crls: [],
      documents: manifests.map((name) => ({ kind: 'nvidia-rim', content: vector(`nvidia/rim/${name}.xml`) })),
    },
    policy: nvVerifier.policySchema.parse({ revocation: 'optional' }),
    at: new Date('2026-02-01T00:00:00Z'),
    simulatedRoots: [],
  };
}

/** Up to 512 responses and 64 manifests are verified, P-384 signatures each; they come from the verifier's own side. */
const slowMs = 1_500;

/** NVIDIA GPUs: evidence, SPDM reports, manifests. */
export const nvidiaTargets: readonly NamedTarget[] = [
  parserTarget('nv-document', readDocument, documents, { words }),
  parserTarget(
    'nv-report',
    (bytes) => {
      const report = parseReport(bytes);
      if (!('code' in report)) reportFields(report);
    },
    () => [deviceOf(gpu).report],
  ),
  parserTarget('nv-xml', parseXml, () => [driverRim.xml], { words: xmlWords }),
  {
    name: 'nv-manifest',
    make: () => ({
      words: xmlWords,
      seeds: [
        driverRim.xml,
        firmwareRim.xml,
        JSON.stringify({ rim: Buffer.from(driverRim.xml).toString('base64') }),
      ].map((text) => single(text)),
      run(input) {
        const bytes = partOf(input, '');
        readManifest(bytes);
        readRim(bytes);
        parsePayload(bytes);
        const outcome = verifyRim(bytes, trust);
        return 'code' in outcome ? [] : [JSON.stringify(outcome.rim)];
      },
    }),
  },
  verifierTarget({ name: 'nv-verifier', verifier: nvVerifier, signed: signedReports, words, slowMs, cases }),
  verifierTarget({
    name: 'nv-verifier-signed',
    slowMs,
    verifier: nvVerifier,
    signed: hex,
    sign(report) {
      const signature = sign('sha384', report, { key: gpu.key, dsaEncoding: 'ieee-p1363' });
      const certificates = gpu.chain.map(({ certificate }) => certificate);
      return writeDocument({ devices: [{ report: Buffer.concat([report, signature]), certificates }] });
    },
    cases: () => [caseOf(deviceOf(gpu).report.subarray(0, -signatureLength))],
  }),
  ...(hasVectors
    ? [
        verifierTarget({
          name: 'nv-verifier-real',
          slowMs,
          verifier: nvVerifier,
          signed: signedReports,
          cases: () => [realCase()],
        }),
      ]
    : []),
];
