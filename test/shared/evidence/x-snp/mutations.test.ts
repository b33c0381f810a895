import { expect, it } from '@jest/globals';
import type { Endorsements } from '@muster/shared/evidence/appraisal.js';
import { parseCertificateTable } from '@muster/shared/evidence/x-snp/certificate-table.js';
import { parseReport } from '@muster/shared/evidence/x-snp/report.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import { parseCertificate, parseCrl, splitCertificates } from '@muster/shared/evidence/x509.js';
import fc from 'fast-check';
import { snpCase } from '../../../support/snp-case.js';
import { certificateGuids, certificateTable } from '../../../support/snp-report.js';
import { describeVectors, vector, vectorCases } from '../../../support/vectors.js';

const policy = snpVerifier.policySchema.parse({ revocation: 'optional', vmpl: [0, 1], debug: true });
const at = new Date('2026-11-01T00:00:00Z');
const vlekAt = new Date('2025-06-01T00:00:00Z');

describeVectors('real reports, changed', () => {
  const genuine = ['snp-milan-v2', 'snp-genoa-v3', 'snp-aws-vlek-v3', 'snp-milan-debug-v2'];

  function load(id: string): { report: Uint8Array; endorsements: Endorsements; at: Date } {
    const entry = vectorCases('x-snp').find((candidate) => candidate.id === id);
    const certificates = (entry?.certs ?? []).flatMap((file) => splitCertificates(vector(file)) ?? []);
    return {
      report: vector(entry?.evidence ?? ''),
      endorsements: { certificates, crls: [] },
      at: id.includes('vlek') ? vlekAt : at,
    };
  }

  async function statusOf(
    report: Uint8Array,
    { endorsements, at }: ReturnType<typeof load>,
  ): Promise<string> {
    const evidence = { namespace: 'x-snp', evidence: report };
    return (await snpVerifier.appraise({ evidence, endorsements, policy, at, simulatedRoots: [] })).status;
  }

  it('every changed byte is refused', async () => {
    const loaded = load('snp-genoa-v3');
    expect(await statusOf(loaded.report, loaded)).toBe('affirming');
    const accepted: number[] = [];
    for (const offset of loaded.report.keys()) {
      const changed = Uint8Array.from(loaded.report);
      changed[offset] = (changed[offset] ?? 0) ^ (1 << (offset % 8));
      if ((await statusOf(changed, loaded)) !== 'contraindicated') accepted.push(offset);
    }
    expect(accepted).toEqual([]);
  });

  it.each(genuine)('%s: any other value of any byte, and any other length, is refused', async (id) => {
    const loaded = load(id);
    const { report } = loaded;
    const changes = fc.tuple(
      fc.integer({ min: 0, max: report.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
    );
    await fc.assert(
      fc.asyncProperty(changes, async ([offset, difference]) => {
        const changed = Uint8Array.from(report);
        changed[offset] = (changed[offset] ?? 0) ^ difference;
        return (await statusOf(changed, loaded)) === 'contraindicated';
      }),
      { numRuns: 60 },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: report.length - 1 }),
        async (length) => (await statusOf(report.subarray(0, length), loaded)) === 'contraindicated',
      ),
      { numRuns: 10 },
    );
  });
});

it('every changed byte of a certificate or revocation list is refused', async () => {
  const input = snpCase();
  const [chip, ask, , ark] = input.endorsements.certificates;
  const [crl] = input.endorsements.crls;
  const items = [chip, ask, ark, crl].filter((bytes) => bytes !== undefined);
  const change = fc.record({
    bit: fc.integer({ min: 0, max: 7 }),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    item: fc.integer({ min: 0, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ bit, at, item }) => {
      const changed = items.map((bytes) => Uint8Array.from(bytes));
      const spoilt = changed[item] ?? new Uint8Array();
      const offset = Math.floor(at * spoilt.length);
      spoilt[offset] = (spoilt[offset] ?? 0) ^ (1 << bit);
      const endorsements = { certificates: changed.slice(0, 3), crls: changed.slice(3) };
      return (await snpVerifier.appraise({ ...input, endorsements })).status !== 'affirming';
    }),
    { numRuns: 400 },
  );
});

it('parsers answer anything, and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(parseReport(bytes)).toMatchObject({ code: 'SNP_REPORT_LENGTH' });
      parseCertificateTable(bytes);
      expect(parseCertificate(bytes)).toBeUndefined();
      expect(parseCrl(bytes)).toBeUndefined();
      splitCertificates(bytes);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1184, maxLength: 1184 }), (bytes) => 'code' in parseReport(bytes)),
  );
});

it('a certificate table is read back as it was written', () => {
  const entry = fc.record({
    guid: fc.constantFrom(...Object.values(certificateGuids)),
    certificate: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
      const table = certificateTable(entries);
      expect(parseCertificateTable(table)).toEqual(entries.map(({ certificate }) => certificate));
      for (let length = 1; length < table.length; length += 1) {
        expect(parseCertificateTable(table.subarray(0, length))).toBeUndefined();
      }
    }),
    { numRuns: 30 },
  );
});

it('a certificate table has entries inside itself only, and not without end', () => {
  const entry = { guid: certificateGuids.ARK, certificate: Uint8Array.of(1, 2, 3) };
  const shift = (offset: number, value: number): Uint8Array => {
    const table = Buffer.from(certificateTable([entry]));
    table.writeUInt32LE(value, offset);
    return table;
  };
  const [headerLength, offsetField, lengthField] = [48, 16, 20];
  expect(parseCertificateTable(shift(offsetField, headerLength - 1))).toBeUndefined();
  expect(parseCertificateTable(shift(offsetField, headerLength + 1))).toBeUndefined();
  expect(parseCertificateTable(shift(lengthField, 0xffff_ffff))).toBeUndefined();
  expect(parseCertificateTable(certificateTable(Array.from({ length: 33 }, () => entry)))).toBeUndefined();
  expect(parseCertificateTable(new Uint8Array())).toEqual([]);
  expect(parseCertificateTable(new Uint8Array(24))).toEqual([]);
  const bigEndian = Buffer.from(certificateTable([entry]));
  bigEndian.set(Buffer.from(certificateGuids.ARK.replaceAll('-', ''), 'hex'));
  expect(parseCertificateTable(bigEndian)).toEqual([entry.certificate]);
});
