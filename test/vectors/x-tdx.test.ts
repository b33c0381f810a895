import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { muster, type CliResult } from '../support/cli.js';
import { tdxVectors } from '../support/tdx-vectors.js';
import { describeVectors, vector, vectorCases, vectorPath } from '../support/vectors.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-tdx-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The reasons that each refused case is refused for. */
const reasons: Readonly<Record<string, readonly string[]>> = {
  'tdx-v4-uptodate': [],
  'tdx-v4-expired-collateral': ['TDX_CRL_EXPIRED', 'TDX_COLLATERAL_EXPIRED', 'TDX_COLLATERAL_EXPIRED'],
  'tdx-v4-debug': ['TDX_DEBUG', 'TDX_COLLATERAL_MISSING', 'TDX_COLLATERAL_MISSING'],
};

function verify(evidence: string, ...args: readonly string[]): Promise<CliResult> {
  const base = ['evidence', 'verify', '--namespace=x-tdx', '--offline', '--output=json'];
  return muster([...base, `--evidence=${vectorPath(evidence)}`, ...args]);
}

const upToDate = 'tdx/v4-uptodate/quote.bin';
const july = '--at=2025-07-01T00:00:00Z';

describeVectors('real TDX evidence', () => {
  const collateral = vectorPath('tdx/v4-uptodate/collateral.json');

  it('has the expected result, case by case', async () => {
    const cases = vectorCases('x-tdx');
    expect(cases.length).toBeGreaterThanOrEqual(3);
    for (const { id, evidence, collateral, at = '', expect: expected } of cases) {
      const file = collateral === undefined ? [] : [`--collateral=${vectorPath(collateral)}`];
      const { code, out } = await verify(evidence, `--at=${at}`, ...file);
      const result = JSON.parse(out) as { status: string; reasons: readonly { code: string }[] };
      expect([id, result.status, code]).toEqual([id, expected, expected === 'affirming' ? 0 : 1]);
      const known = reasons[id];
      if (known !== undefined) expect(result.reasons.map((reason) => reason.code)).toEqual(known);
    }
  });

  it('is up to date, and says of what', async () => {
    const { out } = await verify(upToDate, july, `--collateral=${collateral}`);
    expect(JSON.parse(out)).toMatchObject({
      claims: { tcb_status: 'UpToDate', version: 4, platform: { fmspc: 'b0c06f000000', smt: true } },
      unchecked: ['report_data'],
    });
  });

  it('is bound to its report data', async () => {
    const reportData = Buffer.from(vector(upToDate).subarray(48 + 520, 48 + 584)).toString('hex');
    const right = await verify(upToDate, july, `--collateral=${collateral}`, `--nonce=${reportData}`);
    expect(right.json()).toMatchObject({ status: 'affirming', unchecked: [] });
    const wrong = await verify(upToDate, july, `--collateral=${collateral}`, '--nonce=00');
    expect(wrong.json()).toMatchObject({ reasons: [{ code: 'TDX_REPORT_DATA' }] });
  });

  it('of a TD that can be debugged is refused with the collateral of its time', () => {
    const appraise = (policy: object): unknown =>
      tdxVerifier.appraise({
        evidence: { namespace: 'x-tdx', evidence: vector('tdx/v4-debug/quote.bin') },
        endorsements: tdxVectors.debug(),
        policy: tdxVerifier.policySchema.parse(policy),
        at: new Date('2023-07-01T00:00:00Z'),
        simulatedRoots: [],
      });
    // The TCB signing certificate of that time is not among the vectors: beyond the debug bit nothing is wrong.
    expect(appraise({})).toMatchObject({
      status: 'contraindicated',
      reasons: [{ code: 'TDX_DEBUG' }, {}, {}],
    });
    expect(appraise({ debug: true })).toMatchObject({
      status: 'none',
      reasons: [{ code: 'TDX_COLLATERAL_SIGNER_MISSING' }, { code: 'TDX_COLLATERAL_SIGNER_MISSING' }],
      unchecked: ['report_data'],
    });
  });

  it('out of an Azure VM is genuine, and its TCB is not known without collateral', async () => {
    const quote = 'azure/tdx-vtpm-v1/td-quote.bin';
    const { json, code } = await verify(quote, july);
    expect(code).toBe(1);
    expect(json()).toMatchObject({
      status: 'none',
      reasons: [{ code: 'TDX_COLLATERAL_MISSING' }, { code: 'TDX_COLLATERAL_MISSING' }],
      claims: { verified: ['pck_chain', 'qe_report', 'qe_binding', 'quote_signature'] },
    });
    const other = await verify(quote, july, `--collateral=${collateral}`);
    expect(other.json()).toMatchObject({ reasons: [{ code: 'TDX_TCB_INFO_FMSPC' }] });
  });

  it.each<[string, (fields: Record<string, string>) => void, string]>([
    ['an empty revocation list', (fields) => void (fields['pck_crl'] = ''), 'TDX_CRL_UNREADABLE'],
    ['garbage for one', (fields) => void (fields['root_ca_crl'] = 'zz'), 'TDX_CRL_UNREADABLE'],
    ['the other list', (fields) => void (fields['pck_crl'] = fields['root_ca_crl'] ?? ''), 'TDX_CRL_MISSING'],
    ['TCB info with a space', (fields) => void (fields['tcb_info'] += ' '), 'TDX_COLLATERAL_UNREADABLE'],
    ['no signature', (fields) => void (fields['qe_identity_signature'] = ''), 'TDX_COLLATERAL_UNREADABLE'],
    [
      'the signature of the other document',
      (fields) => void (fields['qe_identity_signature'] = fields['tcb_info_signature'] ?? ''),
      'TDX_COLLATERAL_SIGNATURE',
    ],
    [
      'a chain that cannot be read',
      (fields) => void (fields['tcb_info_issuer_chain'] = '-----BEGIN CERTIFICATE-----'),
      'TDX_CERTIFICATE_UNREADABLE',
    ],
  ])('is not affirmed with %s', async (name, spoil, code) => {
    const fields = JSON.parse(readFileSync(collateral, 'utf8')) as Record<string, string>;
    spoil(fields);
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(fields));
    const result = await verify(upToDate, july, `--collateral=${file}`);
    expect(result.code).toBe(1);
    const given = result.json()['reasons'] as readonly { code: string }[];
    expect(given.map((reason) => reason.code)).toContain(code);
  });

  it('is not judged by a file that is no collateral', async () => {
    for (const content of ['{}', 'x', '[]', '{"tcb_info":1}']) {
      const file = join(folder, 'none.json');
      writeFileSync(file, content);
      const { code, out, err } = await verify(upToDate, july, `--collateral=${file}`);
      expect(code).not.toBe(0);
      expect(out + err).toContain('ARGUMENT_INVALID');
    }
  });
});
