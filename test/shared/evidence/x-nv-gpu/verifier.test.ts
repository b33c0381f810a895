import { describe, expect, it } from '@jest/globals';
import { KeyUsageFlags } from '@peculiar/asn1-x509';
import { gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import {
  appraise,
  codes,
  deviceOf,
  driverRim,
  firmwareRim,
  rimDocuments,
  type NvCase,
} from '../../../support/nvidia-case.js';
import {
  defaultFwid,
  defaultNonce,
  firmwareVersion,
  goodResponses,
  manifest,
  measurementOf,
  range,
  rimDocument,
  simulatedGpu,
  spdmReport,
  type DeviceOptions,
  type ReportOptions,
} from '../../../support/nvidia-device.js';
import { extension, holder, ocspResponder, ocspResponse, p384Key } from '../../../support/nvidia-pki.js';

const gpu = simulatedGpu();
const blocks = range(0, 63).map((index) => [index + 1, measurementOf(index)] as const);
const [rimSigner, rimAuthority] = driverRim.chain;
const deviceResponses = goodResponses(gpu.chain, 1);

describe('a genuine GPU', () => {
  it.each([
    ['Hopper', 'GH100', 'hopper'],
    ['Blackwell', 'GB100', 'blackwell'],
  ])('of the architecture %s is affirmed', async (_name, chip, architecture) => {
    const device = simulatedGpu({ chip });
    const appraisal = await appraise({ gpu: device, report: { opaque: { 35: Buffer.from('GB100\0') } } });
    expect(appraisal).toMatchObject({ status: 'affirming', reasons: [], unchecked: [], simulated: true });
    expect(appraisal.claims).toMatchObject({
      devices: {
        'GPU-0': {
          architecture,
          chip,
          driver_version: '560.10.05',
          firmware_version: firmwareVersion,
          results: {
            chain: 'valid',
            signature: 'valid',
            nonce: 'match',
            fwid: 'match',
            measurements: 'match',
          },
        },
      },
    });
    expect(Object.values(appraisal.trustworthiness)).toEqual([2, 2, 2, 2]);
  });

  it('is affirmed in each form that its evidence can have', async () => {
    const { report, certificates } = deviceOf(gpu);
    const pem = gpu.chain.map(
      ({ certificate }) =>
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(certificate).toString('base64')}\n-----END CERTIFICATE-----\n`,
    );
    const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
    const entry = {
      arch: 'HOPPER',
      nonce: 'ff',
      evidence: base64(report),
      certificate: base64(pem.join('')),
    };
    const nvattest = Buffer.from(JSON.stringify({ evidences: [entry], result_code: 0 }));
    const hex = Buffer.from(`${Buffer.from(report).toString('hex')}\n`);
    expect((await appraise({ evidence: nvattest })).status).toBe('affirming');
    expect((await appraise({ evidence: Buffer.from(JSON.stringify([entry])) })).status).toBe('affirming');
    expect((await appraise({ evidence: hex, certificates })).status).toBe('affirming');
    expect((await appraise({ evidence: report, certificates })).status).toBe('affirming');
  });

  it('is bound to the report data, and to the CPU evidence of the same round', async () => {
    const reportData = new Uint8Array(64).fill(5);
    const cpu = { namespace: 'x-snp', evidence: Uint8Array.of(1, 2, 3) };
    const other = { namespace: 'x-tpm', evidence: Uint8Array.of(4) };
    const bound = async (nonce: Uint8Array, related: NvCase['input']): Promise<readonly string[]> => {
      const { nonce: _raw, ...input } = { nonce: undefined, reportData, ...related };
      const { evidence } = { evidence: { report: { nonce } } };
      const given = await appraise({ ...evidence, input: { ...input, nonce: undefined } as never });
      return codes(given);
    };
    expect(await bound(gpuNonce(reportData), {})).toEqual([]);
    expect(await bound(gpuNonce(reportData), { related: [other] })).toEqual([]);
    expect(await bound(gpuNonce(reportData, cpu.evidence), { related: [other, cpu] })).toEqual([]);
    expect(await bound(gpuNonce(reportData), { related: [cpu] })).toEqual(['NV_NONCE']);
    expect(await bound(gpuNonce(reportData, Uint8Array.of(9)), { related: [cpu] })).toEqual(['NV_NONCE']);
    expect(await bound(defaultNonce, {})).toEqual(['NV_NONCE']);
  });
});

describe('form', () => {
  it.each<[string, ReportOptions, string]>([
    ['a measurement twice', { blocks: [...blocks, [1, measurementOf(0)]] }, 'NV_REPORT_MALFORMED'],
    ['a measurement with index 0', { blocks: [[0, measurementOf(0)]] }, 'NV_REPORT_MALFORMED'],
    ['no measurements', { blocks: [] }, 'NV_REPORT_MALFORMED'],
    ['an opaque field twice', { moreOpaque: [[20, defaultFwid]] }, 'NV_REPORT_MALFORMED'],
    ['another SPDM version', { version: 0x12 }, 'NV_REPORT_VERSION'],
    ['another answer', { code: 0x61 }, 'NV_REPORT_REQUEST'],
    ['no driver version', { opaque: { 3: null } }, 'NV_REPORT_MALFORMED'],
    ['no firmware version', { opaque: { 6: null } }, 'NV_REPORT_MALFORMED'],
    ['an unknown PPCIE status', { opaque: { 21: Buffer.of(1) } }, 'NV_MODE_INVALID'],
    ['an unknown feature flag', { opaque: { 36: Buffer.of(9) } }, 'NV_MODE_INVALID'],
    ['an unknown NVDEC0 status', { opaque: { 11: Buffer.of(1) } }, 'NV_NVDEC0_STATUS'],
    ['no NVDEC0 status', { opaque: { 11: null } }, 'NV_NVDEC0_STATUS'],
  ])('of a report with %s is refused', async (_name, report, code) => {
    const appraisal = await appraise({ report });
    expect([appraisal.status, codes(appraisal)]).toEqual(['contraindicated', [code]]);
  });

  it('leaves no byte before, after or missing', async () => {
    const { report, certificates } = deviceOf(gpu);
    for (const bytes of [
      report.subarray(0, -1),
      Buffer.concat([report, Buffer.of(0)]),
      report.subarray(1),
      report.subarray(0, 36),
    ]) {
      expect((await appraise({ devices: [{ report: bytes, certificates }] })).status).toBe('contraindicated');
    }
    expect(
      codes(await appraise({ devices: [{ report: Buffer.concat([report, Buffer.of(0)]), certificates }] })),
    ).toEqual(['NV_REPORT_MALFORMED']);
  });

  it.each(['', '{', '{}', '[]', '{"devices":[]}', '{"evidences":[{"evidence":"AA=="}]}', 'abc'])(
    'of the document %j is refused',
    async (text) => {
      expect(codes(await appraise({ evidence: Buffer.from(text) }))).toEqual(['NV_EVIDENCE_FORMAT']);
    },
  );

  it('of too much evidence is refused', async () => {
    const devices = Array.from({ length: 33 }, () => deviceOf(gpu));
    expect(codes(await appraise({ devices }))).toEqual(['NV_EVIDENCE_FORMAT']);
    expect(codes(await appraise({ evidence: new Uint8Array(5_000_000) }))).toEqual(['NV_EVIDENCE_FORMAT']);
    const many = Array.from({ length: 65 }, () => rimDocument(driverRim.xml));
    expect(codes(await appraise({ documents: many }))).toEqual(['NV_RIM_EXCESSIVE']);
  });

  it('of the clock is checked', async () => {
    expect(codes(await appraise({ input: { at: new Date(Number.NaN) } }))).toEqual(['NV_CLOCK_INVALID']);
  });
});

describe('the chain', () => {
  const future = { notBefore: new Date('2030-01-01T00:00:00Z') };
  const past = { notAfter: new Date('2025-01-01T00:00:00Z') };
  const unknown = { extensions: [extension('1.2.3', Buffer.of(5, 0), true)] };
  it.each<[string, DeviceOptions, string]>([
    ['an expired certificate', { certificates: [undefined, undefined, past] }, 'NV_CERTIFICATE_EXPIRED'],
    ['one from the future', { certificates: [undefined, future] }, 'NV_CERTIFICATE_NOT_YET_VALID'],
    ['one of another issuer', { certificates: [{ issuerName: 'another' }] }, 'NV_CHAIN_BROKEN'],
    [
      'a signature of another key',
      { certificates: [{ signingKey: p384Key('thief') }] },
      'NV_CHAIN_SIGNATURE',
    ],
    ['an authority that is none', { certificates: [undefined, { ca: false }] }, 'NV_CERTIFICATE_CONSTRAINTS'],
    [
      'a path longer than allowed',
      { certificates: [undefined, undefined, { pathLength: 0 }] },
      'NV_CERTIFICATE_CONSTRAINTS',
    ],
    [
      'a key that may not sign',
      { certificates: [{ usage: KeyUsageFlags.keyAgreement }] },
      'NV_CERTIFICATE_CONSTRAINTS',
    ],
    ['an unknown critical extension', { certificates: [undefined, unknown] }, 'NV_CERTIFICATE_CONSTRAINTS'],
    ['an unknown chip', { chip: 'AD102' }, 'NV_ARCHITECTURE_UNKNOWN'],
    ['no firmware identifier', { fwid: null }, 'NV_FWID_MISSING'],
    ['another firmware identifier', { fwid: measurementOf(1) }, 'NV_FWID_MISMATCH'],
    ["Blackwell's other firmware identifier", { chip: 'GB100', fwid: measurementOf(1) }, 'NV_FWID_MISMATCH'],
  ])('with %s is refused', async (_name, options, code) => {
    const appraisal = await appraise({ gpu: simulatedGpu(options) });
    expect([appraisal.status, codes(appraisal)]).toEqual(['contraindicated', [code]]);
  });

  it('of a root that nobody configured is refused', async () => {
    expect(codes(await appraise({ roots: [driverRim.fingerprint] }))).toEqual(['NV_ROOT_UNTRUSTED']);
    const roots = [{ namespace: 'x-snp', fingerprint: gpu.fingerprint }];
    expect(codes(await appraise({ input: { simulatedRoots: roots } }))).toEqual(['NV_ROOT_UNTRUSTED']);
  });

  it('has five certificates, and is there at all', async () => {
    const { report, certificates } = deviceOf(gpu);
    const given = async (chain: readonly Uint8Array[]): Promise<readonly string[]> =>
      codes(await appraise({ devices: [{ report, certificates: chain }] }));
    expect(await given(certificates.slice(0, 4))).toEqual(['NV_CHAIN_LENGTH']);
    expect(await given([...certificates, ...certificates.slice(4)])).toEqual(['NV_CHAIN_LENGTH']);
    expect(await given([Uint8Array.of(1), ...certificates.slice(1)])).toEqual(['NV_CERTIFICATE_UNREADABLE']);
    expect(await given(certificates.toReversed())).toEqual(['NV_ROOT_UNTRUSTED']);
    expect(await appraise({ evidence: report })).toMatchObject({
      status: 'none',
      reasons: [{ code: 'NV_CHAIN_MISSING' }],
    });
  });

  it('must belong to the key that signed the report', async () => {
    expect(codes(await appraise({ report: { key: p384Key('thief') } }))).toEqual(['NV_REPORT_SIGNATURE']);
  });

  it('does not make up for a firmware identifier that the report lacks', async () => {
    expect(codes(await appraise({ report: { opaque: { 20: null } } }))).toEqual(['NV_FWID_MISSING']);
  });
});

describe('the nonce', () => {
  it("is the request's: the device's own does not count", async () => {
    expect(codes(await appraise({ report: { nonce: new Uint8Array(32).fill(9) } }))).toEqual(['NV_NONCE']);
    expect(codes(await appraise({ input: { nonce: new Uint8Array(32).fill(9) } }))).toEqual(['NV_NONCE']);
  });

  it('that nobody knows stands under unchecked', async () => {
    const { unchecked, status } = await appraise({ input: { nonce: undefined } as never });
    expect([status, unchecked]).toEqual(['affirming', ['nonce']]);
  });
});

describe('manifests', () => {
  const documents = (...xml: readonly string[]): NvCase => ({
    documents: [...xml.map(rimDocument), ...goodResponses(driverRim.chain, 0), ...deviceResponses],
  });
  const expired = { notAfter: new Date('2026-01-01T00:00:00Z') };

  it('that are missing leave the result open, with what could be verified', async () => {
    const appraisal = await appraise({ documents: deviceResponses });
    expect([appraisal.status, codes(appraisal)]).toEqual(['none', ['NV_RIM_MISSING', 'NV_RIM_MISSING']]);
    expect(appraisal.trustworthiness).toEqual({});
    expect(appraisal.claims).toMatchObject({
      devices: {
        'GPU-0': {
          results: {
            chain: 'valid',
            signature: 'valid',
            nonce: 'match',
            fwid: 'match',
            measurements: 'unproven',
          },
        },
      },
    });
    const lax = await appraise({ documents: deviceResponses, policy: { require_rims: false } });
    expect([lax.status, lax.unchecked]).toEqual(['warning', ['rims']]);
  });

  it.each<[string, string, string]>([
    ['a driver of another version', manifest({ version: '560.10.06' }).xml, 'NV_RIM_VERSION'],
    ['an expired signer', manifest({ signer: expired }).xml, 'NV_RIM_CERTIFICATE_EXPIRED'],
    [
      'a signer from the future',
      manifest({ signer: { notBefore: new Date('2030-01-01') } }).xml,
      'NV_RIM_CERTIFICATE_NOT_YET_VALID',
    ],
    ['another root', manifest({ rootName: 'another root' }).xml, 'NV_RIM_ROOT_UNTRUSTED'],
    ['a signer of another issuer', manifest({ signer: { issuerName: 'x' } }).xml, 'NV_RIM_CHAIN'],
    ['a changed measurement', driverRim.xml.replace(/Hash0="[0-9a-f]{2}/, 'Hash0="zz'), 'NV_RIM_SIGNATURE'],
    ['another measurement', manifest({ values: { 3: ['00'.repeat(48)] } }).xml, 'NV_MEASUREMENT_MISMATCH'],
    ['an overlap with the firmware', manifest({ active: [1, 40] }).xml, 'NV_RIM_OVERLAP'],
  ])('with %s are refused', async (_name, xml, code) => {
    const appraisal = await appraise(documents(xml, firmwareRim.xml));
    expect([appraisal.status, codes(appraisal)]).toEqual(['contraindicated', [code]]);
  });

  it('do not hide each other: one that fits is enough', async () => {
    const bad = [
      manifest({ signer: expired }),
      manifest({ version: '1.2.3' }),
      manifest({ values: { 3: ['ab'] } }),
    ];
    const given = documents(...bad.map(({ xml }) => xml), driverRim.xml, firmwareRim.xml);
    expect(await appraise(given)).toMatchObject({ status: 'affirming', reasons: [] });
  });

  it('may allow several values for a measurement, each of its size', async () => {
    const right = measurementOf(5).toString('hex');
    const given = async (values: readonly string[]): Promise<string> =>
      (await appraise(documents(manifest({ values: { 5: values } }).xml, firmwareRim.xml))).status;
    expect(await given(['00'.repeat(48), right])).toBe('affirming');
    expect(await given([right.slice(2), `${right}00`])).toBe('contraindicated');
  });

  it('count measurement 35 only while NVDEC0 is on', async () => {
    const changed = blocks.map(
      ([index, value]) => [index, index === 36 ? measurementOf(99) : value] as const,
    );
    expect(codes(await appraise({ report: { blocks: changed } }))).toEqual(['NV_MEASUREMENT_MISMATCH']);
    expect((await appraise({ report: { blocks: changed, opaque: { 11: Buffer.of(0x55) } } })).status).toBe(
      'affirming',
    );
    const another = blocks.map(
      ([index, value]) => [index, index === 37 ? measurementOf(99) : value] as const,
    );
    const off = { blocks: another, opaque: { 11: Buffer.of(0x55) } };
    expect(codes(await appraise({ report: off }))).toEqual(['NV_MEASUREMENT_MISMATCH']);
  });

  it('want every active measurement in the report', async () => {
    expect(codes(await appraise({ report: { blocks: blocks.slice(0, 63) } }))).toEqual([
      'NV_MEASUREMENT_MISMATCH',
    ]);
    const nothing = documents(
      manifest({ active: [] }).xml,
      manifest({ version: firmwareVersion, active: [] }).xml,
    );
    expect(codes(await appraise(nothing))).toEqual(['NV_MEASUREMENT_MISMATCH']);
  });

  it.each<[string, (xml: string) => string]>([
    ['a document type', (xml) => `<!DOCTYPE a [<!ENTITY e "x">]>${xml}`],
    ['a comment', (xml) => xml.replace('<ns0:Payload>', '<!-- c --><ns0:Payload>')],
    ['a processing instruction', (xml) => xml.replace('<ns0:Payload>', '<?pi?><ns0:Payload>')],
    ['a CDATA section', (xml) => xml.replace('</ns0:Payload>', '<![CDATA[x]]></ns0:Payload>')],
    ['a tag that is not closed', (xml) => xml.replace('</ns0:Payload>', '')],
    ['no bytes', () => ''],
    ['deep nesting', () => '<a>'.repeat(20) + '</a>'.repeat(20)],
    ['too many elements', () => `<a>${'<b/>'.repeat(5000)}</a>`],
    ['too many bytes', (xml) => xml.replace('<ns0:Payload>', `${' '.repeat(300_000)}<ns0:Payload>`)],
    ['another root element', (xml) => xml.replaceAll('SoftwareIdentity', 'Another')],
    ['two payloads', (xml) => xml.replace('<ns0:Payload>', '<ns0:Payload/><ns0:Payload>')],
    ['two Metas', (xml) => xml.replace('<ns0:Payload>', '<ns0:Meta colloquialVersion="1"/><ns0:Payload>')],
  ])('with %s are not read', async (_name, change) => {
    const appraisal = await appraise(documents(change(driverRim.xml), firmwareRim.xml));
    expect(appraisal.status).toBe('contraindicated');
    expect(['NV_RIM_MALFORMED', 'NV_RIM_SIGNATURE']).toContain(codes(appraisal)[0]);
  });

  it.each<[string, (xml: string) => string]>([
    ['an unknown resource', (xml) => xml.replace('type="Measurement"', 'type="Other"')],
    ['an index twice', (xml) => xml.replace('index="1"', 'index="0"')],
    ['no index', (xml) => xml.replace(' index="1"', '')],
    ['an active that is neither', (xml) => xml.replace('active="True"', 'active="maybe"')],
  ])('that are signed with %s are refused', async (_name, before) => {
    expect(codes(await appraise(documents(manifest({ before }).xml, firmwareRim.xml)))).toEqual([
      'NV_RIM_MALFORMED',
    ]);
  });

  it('cannot be wrapped: what is signed must be what is read', async () => {
    const { xml } = driverRim;
    const signature = /<ds:Signature .*<\/ds:Signature>/s.exec(xml)?.[0] ?? '';
    const evil = xml.replace(signature, '').replace(/Hash0="[0-9a-f]{96}"/, `Hash0="${'00'.repeat(48)}"`);
    const wrapped = [
      // The original document, hidden inside the signature of an evil one.
      evil.replace(
        '</SoftwareIdentity>',
        `${signature.replace('</ds:Signature>', `<ds:Object>${xml}</ds:Object></ds:Signature>`)}</SoftwareIdentity>`,
      ),
      // The original document as a child of an evil one.
      evil.replace('</SoftwareIdentity>', `${xml}</SoftwareIdentity>`),
      // Two signatures.
      xml.replace('</SoftwareIdentity>', `${signature}</SoftwareIdentity>`),
      // A signature that is not a child of the root.
      evil.replace('</ns0:Payload>', `${signature}</ns0:Payload>`),
      // A reference to a part.
      xml.replace('URI=""', 'URI="#x"'),
      // A weaker algorithm.
      xml.replace('xmldsig-more#sha384', 'xmldsig#sha1'),
      xml.replace('xmldsig-more#ecdsa-sha384', 'xmldsig#hmac-sha1'),
      evil,
    ];
    for (const candidate of wrapped) {
      const appraisal = await appraise(documents(candidate, firmwareRim.xml));
      expect(appraisal.status).toBe('contraindicated');
    }
  });

  it('must be of a signer that the policy allows', async () => {
    const allowed = { rim_signers: ['Simulated RIM Signer'] };
    expect((await appraise({ policy: allowed })).status).toBe('affirming');
    expect(codes(await appraise({ policy: { rim_signers: ['Another'] } }))).toEqual([
      'NV_RIM_SIGNER',
      'NV_RIM_SIGNER',
    ]);
  });
});

describe('revocation', () => {
  const [, own, ica] = gpu.chain;
  const withResponse = (content: Uint8Array): NvCase => ({
    documents: [...rimDocuments, ...deviceResponses.slice(1), { kind: 'ocsp', content }],
  });

  it.each<[string, Uint8Array, string]>([
    ['revoked', ocspResponse(own, ica, { status: 'revoked' }), 'NV_CERTIFICATE_REVOKED'],
    ['unknown', ocspResponse(own, ica, { status: 'unknown' }), 'NV_OCSP_UNKNOWN'],
    ['told out of date', ocspResponse(own, ica, { nextUpdate: new Date('2026-05-01') }), 'NV_OCSP_EXPIRED'],
    [
      'told too early',
      ocspResponse(own, ica, { thisUpdate: new Date('2026-07-01') }),
      'NV_OCSP_NOT_YET_VALID',
    ],
    [
      'told by another responder',
      ocspResponse(own, ica, { responder: ocspResponder(rimAuthority) }),
      'NV_OCSP_SIGNATURE',
    ],
    [
      'told by a certificate that is no responder',
      ocspResponse(own, ica, { responder: holder('no responder', { issuer: ica }) }),
      'NV_OCSP_SIGNATURE',
    ],
    [
      'told by an expired responder',
      ocspResponse(own, ica, { responder: ocspResponder(ica, { notAfter: new Date('2026-01-01') }) }),
      'NV_OCSP_SIGNATURE',
    ],
    [
      'told by a responder whose purpose cannot be read',
      ocspResponse(own, ica, {
        responder: ocspResponder(ica, { extensions: [extension('2.5.29.37', Uint8Array.of(5, 0))] }),
      }),
      'NV_OCSP_SIGNATURE',
    ],
    ['not told at all', Uint8Array.of(1, 2, 3), 'NV_OCSP_UNREADABLE'],
  ])('of a device certificate that is %s is refused', async (_name, response, code) => {
    const appraisal = await appraise(withResponse(response));
    expect([appraisal.status, codes(appraisal)]).toEqual(['contraindicated', [code]]);
  });

  it('of a manifest signer counts as well', async () => {
    const revoked = {
      kind: 'ocsp' as const,
      content: ocspResponse(rimSigner, rimAuthority, { status: 'revoked' }),
    };
    const appraisal = await appraise({ documents: [...rimDocuments, ...deviceResponses, revoked] });
    expect(new Set(codes(appraisal))).toEqual(new Set(['NV_CERTIFICATE_REVOKED']));
  });

  it('is told by the issuer itself, by other hash functions, and a good answer does not hide a revocation', async () => {
    expect(
      (await appraise(withResponse(ocspResponse(own, ica, { responder: ica, hash: 'sha1' })))).status,
    ).toBe('affirming');
    const both = withResponse(ocspResponse(own, ica, { status: 'revoked', hash: 'sha256' }));
    const good = { kind: 'ocsp' as const, content: ocspResponse(own, ica) };
    expect(codes(await appraise({ documents: [good, ...(both.documents ?? [])] }))).toEqual([
      'NV_CERTIFICATE_REVOKED',
    ]);
  });

  it('that nobody knows of leaves the result open, or stands under unchecked', async () => {
    const documents = rimDocuments;
    expect(await appraise({ documents })).toMatchObject({
      status: 'none',
      reasons: [{ code: 'NV_OCSP_MISSING' }],
    });
    const optional = await appraise({ documents, policy: { revocation: 'optional' } });
    expect([optional.status, optional.unchecked]).toEqual(['affirming', ['ocsp']]);
  });
});

describe('several devices', () => {
  const second = simulatedGpu({ name: 'two' });
  const documents = [...rimDocuments, ...deviceResponses, ...goodResponses(second.chain, 1)];

  it('are each appraised, and named in the reasons', async () => {
    const good = await appraise({
      devices: [deviceOf(gpu), deviceOf(second)],
      documents,
      policy: { gpus: { exactly: 2 } },
    });
    expect([good.status, Object.keys(good.claims['devices'] ?? {})]).toEqual([
      'affirming',
      ['GPU-0', 'GPU-1'],
    ]);
    const bad = deviceOf(second, { nonce: new Uint8Array(32) });
    const mixed = await appraise({ devices: [deviceOf(gpu), bad], documents });
    expect(mixed).toMatchObject({
      status: 'contraindicated',
      reasons: [{ code: 'NV_NONCE', path: 'GPU-1' }],
    });
  });

  it('are not one device twice', async () => {
    const again = deviceOf(gpu, { opaque: { 36: Buffer.of(0) } });
    for (const devices of [
      [deviceOf(gpu), deviceOf(gpu)],
      [deviceOf(gpu), again],
    ]) {
      expect(codes(await appraise({ devices, documents }))).toEqual(['NV_DEVICE_REPEATED']);
    }
    const restarted = simulatedGpu({ certificates: [{ key: p384Key('another firmware') }] });
    const devices = [deviceOf(gpu), { ...deviceOf(restarted), report: spdmReport(restarted) }];
    expect((await appraise({ devices, documents })).reasons).toMatchObject([
      { code: 'NV_DEVICE_REPEATED', path: 'GPU-1', message: 'GPU-1 is the same device as GPU-0.' },
    ]);
  });
});

describe('what is remembered', () => {
  it('leaves times and revocation to every appraisal', async () => {
    expect((await appraise()).status).toBe('affirming');
    expect(codes(await appraise({ input: { at: new Date('2027-06-01T00:00:00Z') } }))).toContain(
      'NV_OCSP_EXPIRED',
    );
    const revoked = {
      kind: 'ocsp' as const,
      content: ocspResponse(rimSigner, rimAuthority, { status: 'revoked' }),
    };
    const documents = [...rimDocuments, ...deviceResponses, revoked];
    expect(codes(await appraise({ documents }))).toContain('NV_CERTIFICATE_REVOKED');
    expect((await appraise()).status).toBe('affirming');
  });

  it('or not, others have their turn while many devices are verified', async () => {
    const gpus = range(1, 8).map((index) => simulatedGpu({ name: `patient ${index}` }));
    const documents = [...rimDocuments, ...gpus.flatMap(({ chain }) => goodResponses(chain, 1))];
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const { status } = await appraise({ devices: gpus.map((each) => deviceOf(each)), documents });
    isOver = true;
    expect([status, turns > 1]).toEqual(['affirming', true]);
  });
});

describe('the policy', () => {
  const id = gpu.chain[1].serial.replace(/^0+/, '');
  const devtools = { devtools_mode: true, multi_gpu_mode: 'none' as const };
  it.each<[string, Record<string, unknown>, string, NvCase?]>([
    ['architectures', { architectures: ['blackwell'] }, 'NV_ARCHITECTURE_NOT_ALLOWED'],
    ['chips', { chips: ['GB100'] }, 'NV_CHIP_NOT_ALLOWED'],
    ['devices', { devices: { deny: [id] } }, 'NV_DEVICE_DENIED'],
    ['devices', { devices: { allow: ['01'] } }, 'NV_DEVICE_NOT_ALLOWED'],
    ['gpus', { gpus: { minimum: 2 } }, 'NV_DEVICE_COUNT'],
    ['gpus', { gpus: { exactly: 0 } }, 'NV_DEVICE_COUNT'],
    ['switches', { switches: { minimum: 1 } }, 'NV_DEVICE_COUNT'],
    ['minimum_driver', { minimum_driver: '560.10.6' }, 'NV_DRIVER_BELOW_MINIMUM'],
    ['minimum_firmware', { minimum_firmware: { GH100: '97.00.0A.00.10' } }, 'NV_FIRMWARE_BELOW_MINIMUM'],
    ['protected_pcie', { protected_pcie: 'required' }, 'NV_PROTECTED_PCIE'],
    [
      'protected_pcie',
      { protected_pcie: 'refused' },
      'NV_PROTECTED_PCIE',
      { report: { opaque: { 21: Buffer.of(0xaa) } } },
    ],
    [
      'protected_pcie',
      { protected_pcie: 'refused' },
      'NV_PROTECTED_PCIE',
      { report: { opaque: { 36: Buffer.of(2) } } },
    ],
    ['devtools', {}, 'NV_DEVTOOLS', { settings: devtools }],
  ])('field %s can refuse (%j)', async (field, policy, code, given = {}) => {
    const appraisal = await appraise({ ...given, policy });
    expect([appraisal.status, codes(appraisal)]).toEqual(['contraindicated', [code]]);
    if (field === 'devtools') return;
    const softened = await appraise({ ...given, policy: { ...policy, warn_on: [field] } });
    expect([softened.status, codes(softened)]).toEqual(['warning', [code]]);
    expect(Object.values(softened.trustworthiness)).toContain(32);
  });

  it.each<[Record<string, unknown>, NvCase?]>([
    [{ devices: { allow: [id.toUpperCase()] }, chips: ['GH100'], gpus: { exactly: 1 } }],
    [{ minimum_driver: '560.9.99', minimum_firmware: { GH100: '97.00.0a.00.02', GB100: 'FF.00.00.00.00' } }],
    [{ protected_pcie: 'required' }, { report: { opaque: { 21: Buffer.of(0xaa) } } }],
    [{ devtools: true }, { settings: devtools }],
  ])('can be met: %j', async (policy, given = {}) => {
    expect(await appraise({ ...given, policy })).toMatchObject({ status: 'affirming', reasons: [] });
  });
});
