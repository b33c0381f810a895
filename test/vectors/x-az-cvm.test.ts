import { expect, it } from '@jest/globals';
import { azureCvmVerifier } from '@muster/shared/evidence/x-az-cvm/verifier.js';
import { FakeClock } from '../support/fake-clock.js';
import { muster, type CliResult } from '../support/cli.js';
import { describeVectors, vector, vectorCases, vectorPath } from '../support/vectors.js';

const at = new Date('2026-11-01T00:00:00Z');
const clock = new FakeClock(at);
const challenge = Buffer.from('challenge').toString('hex');

function verify(id: string, nonce = challenge): Promise<CliResult> {
  const entry = vectorCases('x-az-cvm').find((candidate) => candidate.id === id);
  const evidence = `--evidence=${vectorPath(entry?.evidence ?? '')}`;
  return muster(
    [
      'evidence',
      'verify',
      '--namespace=x-az-cvm',
      '--offline',
      '--output=json',
      evidence,
      `--nonce=${nonce}`,
    ],
    { clock },
  );
}

describeVectors('real Azure confidential VMs', () => {
  it.each(['az-snp-vtpm-v0', 'az-snp-vtpm-v1'])('%s: affirmed', async (id) => {
    const { code, json } = await verify(id);
    expect([code, json()]).toMatchObject([
      0,
      {
        status: 'affirming',
        claims: { tee: 'snp', quote_signature: 'holds', snp: { product: 'Milan' } },
        unchecked: ['crl'],
      },
    ]);
  });

  it('az-tdx-vtpm-v1: signatures and bindings hold, and the collateral is missing', async () => {
    const { code, json } = await verify('az-tdx-vtpm-v1');
    expect(code).toBe(1);
    const { status, claims, reasons } = json() as {
      status: string;
      claims: object;
      reasons: { code: string }[];
    };
    expect([status, claims]).toMatchObject(['none', { tee: 'tdx', quote_signature: 'holds' }]);
    expect(new Set(reasons.map((reason) => reason.code))).toEqual(new Set(['TDX_COLLATERAL_MISSING']));
  });

  it.each(['az-snp-vtpm-v0', 'az-snp-vtpm-v1', 'az-tdx-vtpm-v1'])(
    '%s: another nonce is refused',
    async (id) => {
      const { json } = await verify(id, '00ff');
      expect(json()).toMatchObject({ status: 'contraindicated' });
      expect(JSON.stringify(json()['reasons'])).toContain('TPM_NONCE');
    },
  );

  it('changed bytes all over the HCL report, the quote and its signature are refused', async () => {
    const json = JSON.parse(Buffer.from(vector('azure/snp-vtpm-v1/evidence.json')).toString()) as {
      hcl_report: string;
      tpm_quote: { message: string; signature: string };
    };
    const statusOf = async (changed: unknown): Promise<string> => {
      const { status } = await azureCvmVerifier.appraise({
        evidence: { namespace: 'x-az-cvm', evidence: Buffer.from(JSON.stringify(changed)) },
        endorsements: { certificates: [], crls: [] },
        policy: azureCvmVerifier.policySchema.parse({ revocation: 'optional' }),
        at,
        simulatedRoots: [],
      });
      return status;
    };
    const spoil = (text: string, encoding: BufferEncoding, offset: number): string => {
      const bytes = Buffer.from(text, encoding);
      bytes.writeUInt8((bytes[offset] ?? 0) ^ 0x20, offset);
      return bytes.toString(encoding);
    };
    const { tpm_quote, hcl_report } = json;
    const lengthOf = (text: string, encoding: BufferEncoding): number => Buffer.from(text, encoding).length;
    const every = (length: number, step: number): number[] =>
      Array.from({ length: Math.ceil(length / step) }, (_, index) => index * step);
    const changes = [
      ...every(lengthOf(tpm_quote.message, 'hex'), 5).map((at) => ({
        ...json,
        tpm_quote: { ...tpm_quote, message: spoil(tpm_quote.message, 'hex', at) },
      })),
      ...every(lengthOf(tpm_quote.signature, 'hex'), 32).map((at) => ({
        ...json,
        tpm_quote: { ...tpm_quote, signature: spoil(tpm_quote.signature, 'hex', at) },
      })),
      ...every(lengthOf(hcl_report, 'base64url'), 29).map((at) => ({
        ...json,
        hcl_report: spoil(hcl_report, 'base64url', at),
      })),
    ];
    expect(await statusOf(json)).toBe('affirming');
    expect(await Promise.all(changes.map(statusOf))).not.toContain('affirming');
  });
});
