import { readdirSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { parsePayload } from '@muster/shared/evidence/x-nv-gpu/rim.js';
import { verifyRim } from '@muster/shared/evidence/x-nv-gpu/rim-trust.js';
import { muster } from '../support/cli.js';
import { describeVectors, vector, vectorCases, vectorPath, type VectorCase } from '../support/vectors.js';

interface Result {
  readonly status: string;
  readonly reasons: readonly { readonly code: string }[];
  readonly unchecked: readonly string[];
}

type NvVector = VectorCase & { readonly nonce?: string; readonly rims?: readonly string[] };

function entryOf(id: string): NvVector {
  const entry = vectorCases('x-nv-gpu').find((candidate) => candidate.id === id);
  if (entry === undefined) throw new Error(`the manifest has no case ${id}`);
  return entry;
}

async function verify(
  { evidence, certs = [], nonce, rims = [], at }: Partial<NvVector>,
  ...more: readonly string[]
): Promise<Result & { readonly code: number }> {
  const { out, code } = await muster([
    'evidence',
    'verify',
    '--namespace=x-nv-gpu',
    '--offline',
    '--output=json',
    `--evidence=${vectorPath(evidence ?? '')}`,
    ...certs.flatMap((file) => ['--cert', vectorPath(file)]),
    ...rims.flatMap((file) => ['--rim', vectorPath(file)]),
    ...(nonce === undefined ? [] : ['--nonce', nonce]),
    ...(at === undefined ? [] : ['--at', at]),
    ...more,
  ]);
  return { ...(JSON.parse(out) as Result), code };
}

const codesOf = ({ reasons }: Result): readonly string[] => reasons.map(({ code }) => code);
const files = (folder: string): readonly string[] =>
  readdirSync(vectorPath(folder)).map((name) => `${folder}/${name}`);

describeVectors('real NVIDIA evidence', () => {
  it('has the expected result, case by case', async () => {
    const good = await verify(entryOf('nvidia-hopper'));
    expect(good).toMatchObject({ status: 'affirming', reasons: [], unchecked: ['ocsp'], code: 0 });
    const expired = await verify(entryOf('nvidia-hopper-rim-expired'));
    expect([expired.status, codesOf(expired), expired.code]).toEqual([
      'contraindicated',
      ['NV_RIM_CERTIFICATE_EXPIRED', 'NV_RIM_CERTIFICATE_EXPIRED'],
      1,
    ]);
  });

  it('is refused with each of the broken chains', async () => {
    const { rims = [], nonce = '', at = '' } = entryOf('nvidia-hopper');
    const { evidence, certs: [list = ''] = [] } = entryOf('nvidia-hopper-broken-chains');
    const [first = '', ...others] = list.split(' | ');
    const chains = [first, ...others.map((name) => first.replace('case2', name))];
    expect(chains).toHaveLength(3);
    for (const chain of chains) {
      const result = await verify({ evidence, certs: [chain], rims, nonce, at });
      expect([result.status, codesOf(result)]).toEqual(['contraindicated', ['NV_CHAIN_LENGTH']]);
    }
  });

  it('is refused with another nonce, and open without manifests', async () => {
    const hopper = entryOf('nvidia-hopper');
    expect(codesOf(await verify({ ...hopper, nonce: '00'.repeat(32) }))).toEqual(['NV_NONCE']);
    const open = await verify({ ...hopper, rims: [] });
    expect(open).toMatchObject({
      status: 'none',
      claims: {
        devices: {
          'GPU-0': { results: { chain: 'valid', signature: 'valid', nonce: 'match', fwid: 'match' } },
        },
      },
    });
  });

  it('knows the status of certificates while the OCSP responses hold', async () => {
    const hopper = entryOf('nvidia-hopper');
    const response = vectorPath('nvidia/ocsp/test_gpu_certificate_l4_base64encoded_ocsp_response.dat');
    const collateral = `--collateral=${response}`;
    const during = await verify({ ...hopper, at: '2025-08-21T12:00:00Z' }, collateral);
    expect([during.status, during.unchecked]).toEqual(['affirming', ['ocsp']]);
    const after = await verify(hopper, collateral);
    expect([after.status, codesOf(after)]).toEqual(['contraindicated', ['NV_OCSP_EXPIRED']]);
  });

  it('is refused with every negative manifest', async () => {
    const hopper = entryOf('nvidia-hopper');
    const [driver = '', firmware = ''] = hopper.rims ?? [];
    const negative = [
      ...files('nvidia/rim/negative'),
      ...files('nvidia/rim/parser-cases').filter((file) => file.includes('failure_')),
    ];
    expect(negative.length).toBeGreaterThanOrEqual(20);
    for (const file of negative) {
      const isDriver = /driver/i.test(file);
      const result = await verify({ ...hopper, rims: [file, isDriver ? firmware : driver] });
      expect([file, result.status]).toEqual([file, 'contraindicated']);
      const alone = await verify({ ...hopper, rims: [file] });
      expect([file, alone.status]).toEqual([file, 'contraindicated']);
    }
  });

  it('comes with manifests that are refused for the right reason', () => {
    const at = new Date('2026-02-01T00:00:00Z');
    const reasonOf = (file: string): string => {
      const outcome = verifyRim(vector(`nvidia/rim/${file}`), { at, simulatedRoots: [] });
      return 'code' in outcome ? outcome.code : 'OK';
    };
    expect({
      genuine: reasonOf('NV_GPU_DRIVER_GH100_550.90.07.xml'),
      expired: reasonOf('negative/NV_GPU_DRIVER_GH100_570.124.03_expired.xml'),
      chain: reasonOf('negative/incorrect_cert_chain_driver_rim.xml'),
      signature: reasonOf('negative/incorrect_signature_driver_rim.xml'),
      switchSignature: reasonOf('negative/NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml'),
    }).toEqual({
      genuine: 'OK',
      expired: 'NV_RIM_CERTIFICATE_EXPIRED',
      chain: 'NV_RIM_ROOT_UNTRUSTED',
      signature: 'NV_RIM_SIGNATURE',
      switchSignature: 'NV_RIM_SIGNATURE',
    });
  });

  it.each<[string, RegExp]>([
    ['duplicate_index', /same index/],
    ['empty_payload', /payload is empty/],
    ['hash_empty_namespace', /lacks a hash/],
    ['invalid_alternatives', /no valid alternatives/],
    ['invalid_index', /no valid index/],
    ['invalid_size', /no valid size/],
    ['missing_alternatives', /no valid alternatives/],
    ['missing_hash', /lacks a hash/],
    ['missing_index', /no valid index/],
    ['missing_size', /no valid size/],
    ['no_payload', /one Payload/],
    ['missing_meta', /no SoftwareIdentity/],
    ['missing_x509_data', /no SoftwareIdentity/],
  ])('has the malformed manifest failure_%s, which says what is wrong', (name, message) => {
    const outcome = parsePayload(vector(`nvidia/rim/parser-cases/failure_${name}.xml`));
    expect(outcome).toMatchObject({ code: 'NV_RIM_MALFORMED', message: expect.stringMatching(message) });
  });

  it.each([
    'payload_multiple_alternatives',
    'payload_multiple_measurements',
    'payload_single_measurement',
    'valid_rim',
  ])('has the manifest success_%s, whose payload is read', (name) => {
    expect(parsePayload(vector(`nvidia/rim/parser-cases/success_${name}.xml`))).not.toHaveProperty('code');
  });
});
