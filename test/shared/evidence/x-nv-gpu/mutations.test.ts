import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readManifest, readOcspResponse } from '@muster/shared/evidence/x-nv-gpu/collateral.js';
import { readDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { reportFields } from '@muster/shared/evidence/x-nv-gpu/fields.js';
import { parseOcspResponse } from '@muster/shared/evidence/x-nv-gpu/ocsp.js';
import { parseReport } from '@muster/shared/evidence/x-nv-gpu/report.js';
import { readRim } from '@muster/shared/evidence/x-nv-gpu/rim.js';
import { verifyRim } from '@muster/shared/evidence/x-nv-gpu/rim-trust.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { parseXml } from '@muster/shared/evidence/x-nv-gpu/xml.js';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import { appraise, deviceOf, driverRim, firmwareRim, rimDocuments } from '../../../support/nvidia-case.js';
import { goodResponses, rimDocument, simulatedGpu } from '../../../support/nvidia-device.js';
import { ocspResponse } from '../../../support/nvidia-pki.js';
import { describeVectors, vector } from '../../../support/vectors.js';

const gpu = simulatedGpu();
const good = deviceOf(gpu);
const responses = goodResponses(gpu.chain, 1);

/** One bit of some bytes turned over. */
function flip(bytes: Uint8Array, at: number, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  const offset = Math.floor(at * changed.length);
  changed[offset] = (changed[offset] ?? 0) ^ (1 << bit);
  return changed;
}

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const bit = fc.integer({ min: 0, max: 7 });

it('a report or chain with any bit turned over is not affirmed', async () => {
  const parts = [good.report, ...good.certificates];
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: parts.length - 1 }), place, bit, async (which, at, turned) => {
      const [report = new Uint8Array(), ...certificates] = parts.map((part, index) =>
        index === which ? flip(part, at, turned) : part,
      );
      const documents = [...rimDocuments, ...responses];
      return (await appraise({ devices: [{ report, certificates }], documents })).status !== 'affirming';
    }),
    { numRuns: 80 },
  );
});

it('a manifest with any bit turned over never says anything else', () => {
  const bytes = Buffer.from(driverRim.xml);
  const trust = { at: new Date('2026-06-01T00:00:00Z'), simulatedRoots: [driverRim.fingerprint] };
  const genuine = verifyRim(bytes, trust);
  if ('code' in genuine) throw new Error(genuine.message);
  fc.assert(
    fc.property(place, bit, (at, turned) => {
      const outcome = verifyRim(flip(bytes, at, turned), trust);
      // White space inside the signature, and the spelling of base64, are all that its value does not cover.
      return 'code' in outcome || JSON.stringify(outcome.rim) === JSON.stringify(genuine.rim);
    }),
    { numRuns: 150 },
  );
});

it('a revocation with any bit turned over never becomes a yes', async () => {
  const [, own, ica] = gpu.chain;
  const revoked = ocspResponse(own, ica, { status: 'revoked' });
  await fc.assert(
    fc.asyncProperty(place, bit, async (at, turned) => {
      const changed = { kind: 'ocsp' as const, content: flip(revoked, at, turned) };
      const documents = [...rimDocuments, changed, ...responses.slice(1)];
      return (await appraise({ gpu, documents })).status !== 'affirming';
    }),
    { numRuns: 60 },
  );
});

it('parsers answer anything, quickly, and never throw', () => {
  const started = performance.now();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const report = parseReport(bytes);
      if (!('code' in report)) reportFields(report);
      readDocument(bytes);
      readRim(bytes);
      readManifest(bytes);
      readOcspResponse(bytes);
      parseOcspResponse(bytes);
      parseXml(bytes);
    }),
    { numRuns: 400 },
  );
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('<', '>', '/', 'a', ' ', '="', '"', '&', ';', '!', '?', '\n'), {
        maxLength: 200,
      }),
      (parts) => {
        parseXml(Buffer.from(parts.join('')));
      },
    ),
    { numRuns: 400 },
  );
  fc.assert(
    fc.property(fc.json(), (text) => void readDocument(Buffer.from(text))),
    { numRuns: 200 },
  );
  expect(performance.now() - started).toBeLessThan(60_000);
});

it('a report cut or extended anywhere is refused by its form', () => {
  fc.assert(
    fc.property(fc.nat({ max: good.report.length - 1 }), (length) => {
      expect(parseReport(good.report.subarray(0, length))).toHaveProperty('code');
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), (more) => {
      expect(parseReport(Buffer.concat([good.report, more]))).toMatchObject({ code: 'NV_REPORT_MALFORMED' });
    }),
    { numRuns: 30 },
  );
});

describeVectors('the real report and its real manifests', () => {
  it('with any bit turned over are not affirmed', async () => {
    const hex = Buffer.from(vector('nvidia/hopper/report.txt')).toString('latin1').trim();
    const certificates = splitCertificates(vector('nvidia/hopper/cert_chain_case1.txt')) ?? [];
    const names = ['NV_GPU_DRIVER_GH100_550.90.07.xml', 'NV_GPU_VBIOS_1010_0200_882_96009F0001.xml'];
    const parts = [
      Uint8Array.from(Buffer.from(hex, 'hex')),
      ...names.map((name) => vector(`nvidia/rim/${name}`)),
    ];
    const statusOf = async ([report = new Uint8Array(), ...rims]: readonly Uint8Array[]): Promise<string> => {
      const { status } = await nvVerifier.appraise({
        evidence: { namespace: 'x-nv-gpu', evidence: report },
        endorsements: {
          certificates,
          crls: [],
          documents: rims.map((content) => ({ kind: 'nvidia-rim', content })),
        },
        policy: nvVerifier.policySchema.parse({ revocation: 'optional' }),
        at: new Date('2026-02-01T00:00:00Z'),
        simulatedRoots: [],
      });
      return status;
    };
    expect(await statusOf(parts)).toBe('affirming');
    const signature = parts.map((part) => Buffer.from(part).indexOf('<ds:SignatureValue'));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 2 }), place, bit, async (which, at, turned) => {
        const changed = parts.map((part, index) => (index === which ? flip(part, at, turned) : part));
        const offset = Math.floor(at * (parts[which]?.length ?? 0));
        // Past the start of its value a signature has white space and base64 that can be written in several ways.
        const isCovered = which === 0 || offset < (signature[which] ?? 0);
        return !isCovered || (await statusOf(changed)) !== 'affirming';
      }),
      { numRuns: 60 },
    );
  });
});

it('what a forged manifest says is never used', async () => {
  const forged = driverRim.xml.replace('560.10.05', '560.10.04');
  const { status } = await appraise({
    documents: [rimDocument(forged), rimDocument(firmwareRim.xml), ...responses],
  });
  expect(status).toBe('contraindicated');
});
