import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer } from '@muster/shared/endorsements/bundle/answer.js';
import { readBundle, writeBundle } from '@muster/shared/endorsements/bundle/bundle.js';
import { checkAnswers } from '@muster/shared/endorsements/bundle/check.js';
import { readDirectory, writeDirectory } from '@muster/shared/endorsements/bundle/directory.js';
import { readEndorsement } from '@muster/shared/endorsements/endorsement.js';
import { queryOf } from '@muster/shared/endorsements/paths.js';
import { parseOcspResponse } from '@muster/shared/evidence/x-nv-gpu/ocsp.js';
import fc from 'fast-check';
import { chipCertificate, defaultHwid, revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { driverRim, rimDocuments } from '../../support/nvidia-case.js';
import { manifest, nvTime } from '../../support/nvidia-device.js';
import { fingerprintOf, intelCrl, intelHierarchy } from '../../support/tdx-builder.js';
import { at, qeIdentityJson, signDocument, tcbInfoJson } from '../../support/tdx-case.js';

const milan = snpHierarchy();
const genoa = snpHierarchy({ product: 'Genoa', keySet: 'other' });
const intel = intelHierarchy();
const { root, pckCa, tcbSigning } = intel;
const ders = (...holders: readonly { readonly certificate: Uint8Array }[]): Uint8Array[] =>
  holders.map(({ certificate }) => certificate);

function answer(vendor: string, path: string, content: Uint8Array, issuers: Uint8Array[] = []): Answer {
  const query = queryOf(vendor, path);
  const found = query && readEndorsement(query.kind, content);
  if (query === undefined || found === undefined) throw new Error(`${path} is not readable`);
  return { query, found: issuers.length === 0 ? found : { ...found, issuers } };
}

const crlPath = 'vcek/v1/Milan/crl';
const chipPath = `vcek/v1/Milan/${Buffer.from(defaultHwid()).toString('hex')}?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219`;
const ocspPath = `ocsp/${'0a'.repeat(48)}/${'0b'.repeat(48)}/`;

const amdChain: Answer = {
  ...answer('amd', 'vcek/v1/Milan/cert_chain', milan.ark.certificate),
  found: { items: ders(milan.ask, milan.ark), expiresAt: new Date('2045-01-01T00:00:00Z') },
};
const amd: readonly Answer[] = [
  amdChain,
  answer('amd', chipPath, chipCertificate(milan).certificate),
  answer('amd', crlPath, revocationList(milan)),
];

const tcbPath = 'tdx/certification/v4/tcb?fmspc=b0c06f000000';
const qePath = 'tdx/certification/v4/qe/identity';
const pckCrlPath = 'sgx/certification/v4/pckcrl?ca=platform&encoding=der';
const tcbInfo = signDocument('tcbInfo', tcbInfoJson(), tcbSigning.privateKey);
const collateral: readonly Answer[] = [
  answer('intel', tcbPath, tcbInfo, ders(tcbSigning, root)),
  answer(
    'intel',
    qePath,
    signDocument('enclaveIdentity', qeIdentityJson(), tcbSigning.privateKey),
    ders(tcbSigning, root),
  ),
  answer('intel', pckCrlPath, intelCrl(pckCa), ders(pckCa, root)),
  answer('intel', 'sgx/certification/v4/rootcacrl', intelCrl(root)),
];

const nvidia: readonly Answer[] = rimDocuments.map(({ kind, content }, index) =>
  answer('nvidia', kind === 'ocsp' ? `${ocspPath}0${index}` : `v1/rim/NV_${index}`, content),
);

const roots = [milan.rootFingerprint, genoa.rootFingerprint, intel.rootFingerprint, driverRim.fingerprint];

function refusals(
  answers: readonly Answer[],
  time = at,
  simulatedRoots: readonly string[] = roots,
): string[] {
  return checkAnswers(answers, { at: time, simulatedRoots }).map(({ refusal }) => refusal?.code ?? 'valid');
}

describe('endorsements among themselves', () => {
  it.each<[string, readonly Answer[], Date]>([
    ["AMD's", amd, at],
    ["Intel's", collateral, at],
    ["NVIDIA's", nvidia, nvTime],
  ])('are vouched for by the trusted root: %s', (_, answers, time) => {
    expect(refusals(answers, time)).toEqual(answers.map(() => 'valid'));
  });

  it.each<[string, readonly Answer[], Date]>([
    ["AMD's", amd, at],
    ["Intel's", collateral, at],
    ["NVIDIA's manifests", nvidia.filter(({ query }) => query.kind === 'nvidia-rim'), nvTime],
  ])('are refused under another root: %s', (_, answers, time) => {
    expect(refusals(answers, time, []).includes('valid')).toBe(false);
  });

  it.each<[string, readonly Answer[]]>([
    ["AMD's", amd],
    ["Intel's", collateral],
    ["NVIDIA's", nvidia],
  ])('are refused when their time is over, or has not come: %s', (_, answers) => {
    for (const time of ['2060-01-01T00:00:00Z', '2010-01-01T00:00:00Z']) {
      expect(refusals(answers, new Date(time)).includes('valid')).toBe(false);
    }
  });

  it.each<[string, readonly Answer[], string]>([
    ['a list without its root', [answer('amd', crlPath, revocationList(milan))], 'ENDORSEMENT_UNTRUSTED'],
    [
      'a list that another signed',
      [answer('amd', crlPath, revocationList(milan, { signingKey: genoa.ark.privateKey })), amdChain],
      'ENDORSEMENT_UNTRUSTED',
    ],
    [
      'a list that has ended',
      [
        answer('amd', crlPath, revocationList(milan, { nextUpdate: new Date('2025-12-31T00:00:00Z') })),
        amdChain,
      ],
      'ENDORSEMENT_EXPIRED',
    ],
    [
      'a list that is from tomorrow',
      [
        answer('amd', crlPath, revocationList(milan, { thisUpdate: new Date('2026-01-02T00:00:00Z') })),
        amdChain,
      ],
      'ENDORSEMENT_EXPIRED',
    ],
    [
      'a chip certificate that another intermediate issued',
      [answer('amd', chipPath, chipCertificate(genoa).certificate), amdChain],
      'ENDORSEMENT_UNTRUSTED',
    ],
    [
      'a document that another key signed',
      [
        answer(
          'intel',
          tcbPath,
          signDocument('tcbInfo', tcbInfoJson(), pckCa.privateKey),
          ders(tcbSigning, root),
        ),
      ],
      'TDX_COLLATERAL_SIGNATURE',
    ],
    [
      'a document under the path of another platform',
      [answer('intel', tcbPath.replace('b0c0', 'b0c1'), tcbInfo, ders(tcbSigning, root))],
      'TDX_TCB_INFO_FMSPC',
    ],
    [
      'a document without its signer',
      [answer('intel', tcbPath, tcbInfo, ders(root))],
      'TDX_COLLATERAL_SIGNER_MISSING',
    ],
    ['a document without any certificate', [answer('intel', tcbPath, tcbInfo)], 'ENDORSEMENT_UNTRUSTED'],
    [
      'a list of a CA that is not below the root',
      [answer('intel', pckCrlPath, intelCrl(intelHierarchy().pckCa), ders(root))],
      'ENDORSEMENT_UNTRUSTED',
    ],
  ])('refuses %s', (_, answers, code) => {
    expect(refusals(answers)[0]).toBe(code);
  });

  it("refuses another product's certificates under a product's name", () => {
    const pinned = [milan.rootFingerprint];
    const wrong = { ...amdChain, found: { ...amdChain.found, items: ders(genoa.ask, genoa.ark) } };
    expect(refusals([wrong], at, pinned)).toEqual(['ENDORSEMENT_UNTRUSTED']);
    const [, chip] = amd;
    if (chip === undefined) throw new Error('no chip');
    expect(refusals([amdChain, { ...chip, query: { ...chip.query, path: 'vcek/v1/Rome/x' } }])).toEqual([
      'valid',
      'ENDORSEMENT_UNTRUSTED',
    ]);
  });

  it('refuses manifests and responses that were changed', () => {
    const other = manifest();
    const [rim] = nvidia;
    const status = nvidia.find(({ query }) => query.kind === 'ocsp');
    if (rim === undefined || status === undefined) throw new Error('no answers');
    expect(refusals([rim], nvTime, [fingerprintOf(root.certificate)])).toEqual(['NV_RIM_ROOT_UNTRUSTED']);
    const changed = Buffer.from(other.xml.replace(/[0-9a-f]{96}/, 'f'.repeat(96)));
    expect(
      refusals([{ ...rim, found: { ...rim.found, items: [changed] } }], nvTime, [other.fingerprint]),
    ).toEqual(['NV_RIM_SIGNATURE']);
    const bytes = Buffer.from(status.found.items[0] ?? []);
    const [{ signed } = { signed: undefined }] = parseOcspResponse(bytes) ?? [];
    const position = bytes.indexOf(signed?.signature ?? 'none') + 10;
    bytes[position] = (bytes[position] ?? 0) ^ 1;
    expect(refusals([{ ...status, found: { ...status.found, items: [bytes] } }], nvTime)).toEqual([
      'ENDORSEMENT_UNTRUSTED',
    ]);
  });
});

describe('a bundle', () => {
  const all = [...amd, ...collateral, ...nvidia];
  const text = writeBundle(all, at);
  const parsed = (): { format: string; entries: Record<string, unknown>[] } =>
    JSON.parse(text) as { format: string; entries: Record<string, unknown>[] };
  const refusalOf = (content: unknown): unknown => {
    try {
      readBundle(Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)));
      return 'read';
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
  };

  it('brings back what was put into it', () => {
    expect(readBundle(Buffer.from(text))).toEqual(
      all.map(({ query, found: { items, issuers, expiresAt } }) => ({
        query,
        found: {
          items: items.map((item) => expect.objectContaining({ length: item.length }) as unknown),
          expiresAt,
          ...(issuers !== undefined && { issuers: issuers.map((der) => Uint8Array.from(der)) }),
        },
      })),
    );
  });

  it.each([
    '../../etc/passwd',
    'vcek/v1/Milan/../../../../crl',
    '/vcek/v1/Milan/crl',
    'vcek/v1/Milan/crl\0',
    'vcek/v1/Milan/crl\n',
    'vcek\\v1\\Milan\\crl',
    'vcek/v1/Milan/crl.issuer-chain',
    'vcek/v1/Milan/other',
    'v1/rim/..',
    '',
  ])('is refused for the path %j', (path) => {
    const { entries, ...rest } = parsed();
    const vendor = path.startsWith('v1/rim') ? 'nvidia' : 'amd';
    const changed = { ...rest, entries: [{ ...entries[2], vendor, path }] };
    expect(refusalOf(changed)).toBe('ENDORSEMENT_BUNDLE_INVALID');
  });

  it('is refused for whatever else it should not have', () => {
    const { entries, ...rest } = parsed();
    const [first = {}] = entries;
    const cases: unknown[] = [
      '',
      '{',
      '[]',
      { ...rest, format: 'muster-endorsements/2', entries },
      { ...rest, entries: [...entries, first] },
      { ...rest, entries: [{ ...first, vendor: '../amd' }] },
      { ...rest, entries: [{ ...first, vendor: 'maker' }] },
      { ...rest, entries: [{ ...first, content: Buffer.from('garbage').toString('base64') }] },
      { ...rest, entries: [{ ...first, content: 'not base64!' }] },
      { ...rest, entries: [{ ...first, content: 'A'.repeat(2 * 1024 * 1024) }] },
      { ...rest, entries: [{ ...first, more: 1 }] },
      { ...rest, entries: Array.from({ length: 5000 }, () => first) },
      ' '.repeat(65 * 1024 * 1024),
    ];
    for (const content of cases) expect(refusalOf(content)).toBe('ENDORSEMENT_BUNDLE_INVALID');
  });

  it('never gives a path that leaves its directory, whatever is in it', () => {
    const part = fc.constantFrom(
      'vcek',
      'v1',
      'Milan',
      'crl',
      '..',
      '.',
      '',
      'rim',
      '?',
      '%2e%2e',
      '\\',
      'ocsp',
      'a'.repeat(64),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('amd', 'intel', 'nvidia', '..'),
        fc.array(part, { maxLength: 6 }),
        (vendor, parts) => {
          const path = queryOf(vendor, parts.join('/'))?.path ?? '';
          expect(join('/base', vendor, path).startsWith(`/base/${vendor}`) || path === '').toBe(true);
          expect(path.split('/')).not.toContain('..');
        },
      ),
    );
  });

  it('is refused or read, and nothing else, when a byte of it is changed', () => {
    const bytes = Buffer.from(writeBundle(amd, at));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (position, change) => {
        const changed = Buffer.from(bytes);
        changed[position] = (changed[position] ?? 0) ^ change;
        expect(['read', 'ENDORSEMENT_BUNDLE_INVALID']).toContain(refusalOf(changed.toString('latin1')));
      }),
      { numRuns: 100 },
    );
  });
});

describe('a directory of endorsements', () => {
  let directory: string;
  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'muster-bundle-')), 'endorsements');
  });
  afterEach(() => rmSync(join(directory, '..'), { recursive: true }));

  it('writes all of a bundle or, where one cannot be written, nothing', async () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'intel'), 'a file where a folder has to be');
    await expect(writeDirectory(directory, [...amd, ...collateral], at)).rejects.toThrow();
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(files.map(({ name }) => name)).toEqual(['intel']);
  });

  it('holds what was put into it, and files that do not belong there are left alone', async () => {
    const all = [...amd, ...collateral, ...nvidia];
    expect(await writeDirectory(directory, all, at)).toEqual(all.map(() => 'written'));
    writeFileSync(join(directory, 'amd/notes.txt'), 'mine');
    writeFileSync(join(directory, 'amd/vcek/v1/Milan/crl.old'), 'mine');
    const read = await readDirectory(directory);
    expect(read.map(({ query }) => query.path).toSorted()).toEqual(
      all.map(({ query }) => query.path).toSorted(),
    );
    expect(
      checkAnswers(
        read.filter(({ query }) => query.vendor !== 'nvidia'),
        { at, simulatedRoots: roots },
      ).every((one) => one.refusal === undefined),
    ).toBe(true);
    expect(readdirSync(directory, { recursive: true }).some((name) => String(name).endsWith('.part'))).toBe(
      false,
    );
  });

  it('keeps what holds for longer', async () => {
    const crlUntil = (year: number): Answer =>
      answer('amd', crlPath, revocationList(milan, { nextUpdate: new Date(`${year}-01-01T00:00:00Z`) }));
    await writeDirectory(directory, [crlUntil(2030)], at);
    expect(await writeDirectory(directory, [crlUntil(2028)], at)).toEqual(['kept']);
    expect(await writeDirectory(directory, [crlUntil(2031)], at)).toEqual(['written']);
    const [held] = await readDirectory(directory);
    expect(held?.found.expiresAt.getUTCFullYear()).toBe(2031);
    expect(existsSync(join(directory, 'amd', crlPath))).toBe(true);
  });
});
