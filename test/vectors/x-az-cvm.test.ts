import { expect, it } from '@jest/globals';
import { parseEvidence } from '@muster/shared/evidence/x-az-cvm/evidence.js';
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

  it.each([
    ['snp-vtpm-v0', 'affirming'],
    ['snp-vtpm-v1', 'affirming'],
    ['tdx-vtpm-v1', 'none'],
  ])(
    '%s: changed bytes all over the HCL report, the quotes and the signature are refused',
    async (id, genuine) => {
      const machine = parseEvidence(vector(`azure/${id}/evidence.json`));
      if (machine === undefined) throw new Error(`${id} is not readable`);
      const { hcl_report, tpm_quote, td_quote, vcek } = machine;
      const statusOf = async (parts: typeof signed): Promise<string> => {
        const text = (bytes: Uint8Array | undefined, encoding: BufferEncoding): string | undefined =>
          bytes && Buffer.from(bytes).toString(encoding);
        const json = {
          version: 1,
          hcl_report: text(parts.hcl_report, 'base64'),
          tpm_quote: {
            message: text(parts.message, 'hex'),
            signature: text(parts.signature, 'hex'),
            pcrs: tpm_quote.pcrs.map((value) => text(value, 'hex')),
          },
          vcek: text(vcek, 'base64'),
          td_quote: text(parts.td_quote, 'base64'),
        };
        const { status } = await azureCvmVerifier.appraise({
          evidence: { namespace: 'x-az-cvm', evidence: Buffer.from(JSON.stringify(json)) },
          endorsements: { certificates: [], crls: [] },
          policy: azureCvmVerifier.policySchema.parse({ revocation: 'optional' }),
          at,
          simulatedRoots: [],
        });
        return status;
      };
      const { message, signature } = tpm_quote;
      const signed = { hcl_report, message, signature, td_quote };
      expect(await statusOf(signed)).toBe(genuine);
      // The report of a TDX machine to itself is no part of the proof: its quote is.
      const isProof = (part: string, offset: number): boolean =>
        td_quote === undefined || part !== 'hcl_report' || offset < 32 || offset >= 1216;
      const accepted: string[] = [];
      for (const [part, step] of [
        ['hcl_report', 29],
        ['message', 5],
        ['signature', 32],
        ['td_quote', 61],
      ] as const) {
        for (let offset = 0; offset < (signed[part]?.length ?? 0); offset += step) {
          const changed = Uint8Array.from(signed[part] ?? []);
          changed[offset] = (changed[offset] ?? 0) ^ 0x20;
          const status = await statusOf({ ...signed, [part]: changed });
          if (isProof(part, offset) && status !== 'contraindicated') accepted.push(`${part} ${offset}`);
        }
      }
      expect(accepted).toEqual([]);
    },
  );
});
