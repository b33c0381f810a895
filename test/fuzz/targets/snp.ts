import { once } from '@muster/shared/memo.js';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import { parseCertificateTable } from '@muster/shared/evidence/x-snp/certificate-table.js';
import type { SnpPolicy } from '@muster/shared/evidence/x-snp/policy.js';
import { parseReport, reportLength } from '@muster/shared/evidence/x-snp/report.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import { hasVectors, vector, vectorCases } from '../../support/vector-files.js';
import { chipCertificate, revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { snpCase } from '../../support/snp-case.js';
import {
  certificateGuids,
  certificateTable,
  signSnpReport,
  type SnpReportFields,
} from '../../support/snp-report.js';
import { parserTarget, type NamedTarget } from '../target.js';
import { hex, verifierTarget } from './appraisal.js';

/** What the chip signs of a report (SEV-SNP ABI, table "ATTESTATION_REPORT"). */
const signedLength = 0x2a0;

function reports(): readonly Uint8Array[] {
  const real = ['milan-v2', 'genoa-v3', 'aws-vlek-v3', 'milan-debug-v2'];
  return [
    snpCase().evidence.evidence,
    snpCase({ product: 'Turin' }).evidence.evidence,
    ...(hasVectors ? real.map((name) => vector(`snp/${name}/report.bin`)) : []),
  ];
}

function table(): Uint8Array {
  const { endorsements } = snpCase();
  const [chip = new Uint8Array(), ask = chip, , ark = ask] = endorsements.certificates;
  return certificateTable([
    { guid: certificateGuids.VCEK, certificate: chip },
    { guid: certificateGuids.ASK, certificate: ask },
    { guid: certificateGuids.ARK, certificate: ark },
  ]);
}

/** A chip whose key is at hand, so that reports can be changed before they are signed. */
const genuineChip = once(() => {
  const hierarchy = snpHierarchy();
  const chip = chipCertificate(hierarchy);
  const certificates = [chip, hierarchy.ask, hierarchy.asvk, hierarchy.ark].map(
    ({ certificate }) => certificate,
  );
  return { hierarchy, chip, certificates };
});

function signedCase(fields: SnpReportFields): AppraisalInput<SnpPolicy> {
  const { hierarchy, certificates } = genuineChip();
  return snpCase({ hierarchy, fields, certificates: () => certificates });
}

function realCase(id: string): AppraisalInput<SnpPolicy> {
  const entry = vectorCases('x-snp').find((candidate) => candidate.id === id);
  const certificates = (entry?.certs ?? []).flatMap((file) => splitCertificates(vector(file)) ?? []);
  return {
    evidence: { namespace: 'x-snp', evidence: vector(entry?.evidence ?? '') },
    endorsements: { certificates, crls: [] },
    policy: snpVerifier.policySchema.parse({ revocation: 'optional' }),
    at: new Date('2026-11-01T00:00:00Z'),
    simulatedRoots: [],
  };
}

const verifier = {
  verifier: snpVerifier,
  signed: (report: Uint8Array) => hex(report.subarray(0, signedLength)),
};

/** AMD SEV-SNP. */
export const snpTargets: readonly NamedTarget[] = [
  parserTarget('snp-report', parseReport, reports),
  parserTarget('snp-certificate-table', parseCertificateTable, () => [table(), new Uint8Array(24)]),
  verifierTarget({
    ...verifier,
    name: 'snp-verifier',
    cases() {
      const good = snpCase();
      const revoked = snpHierarchy({ keySet: 'other' });
      return [
        good,
        { ...good, evidence: { ...good.evidence, auxiliary: table() } },
        snpCase({ chip: { kind: 'VLEK' } }),
        snpCase({ product: 'Turin' }),
        snpCase({ fields: { vmpl: 1 } }),
        snpCase({ hierarchy: revoked, crls: [revocationList(revoked, { revoked: [0x10001] })] }),
      ];
    },
  }),
  verifierTarget({
    ...verifier,
    name: 'snp-verifier-signed',
    sign: (report) =>
      report.length === reportLength
        ? signSnpReport(Uint8Array.from(report), genuineChip().chip.privateKey)
        : report,
    cases: () => [{}, { version: 2 }, { version: 5 }].map(signedCase),
  }),
  ...(hasVectors
    ? [
        verifierTarget({
          ...verifier,
          name: 'snp-verifier-real',
          cases: () =>
            ['snp-milan-v2', 'snp-genoa-v3', 'snp-aws-vlek-v3', 'snp-milan-debug-v2'].map(realCase),
        }),
      ]
    : []),
];
