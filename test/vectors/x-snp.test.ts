import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.js';
import { muster } from '../support/cli.js';
import { describeVectors, vectorCases, vectorPath, type VectorCase } from '../support/vectors.js';

/** When every certificate of the cases without a time of their own is valid, except those that are meant not to be. */
const clock = new FakeClock(new Date('2026-11-01T00:00:00Z'));
const exitCodes: Readonly<Record<string, number>> = { affirming: 0, contraindicated: 1, none: 1, warning: 3 };

/** The reason that each refused case is refused for. */
const reasons: Readonly<Record<string, string>> = {
  'snp-milan-v2-wrong-vcek-legacy': 'SNP_CHAIN_SIGNATURE',
  'snp-milan-v2-wrong-vcek-new': 'SNP_CHAIN_SIGNATURE',
  'snp-milan-v2-genoa-root': 'SNP_ROOT_PRODUCT',
  'snp-milan-debug-v2': 'SNP_DEBUG',
};

interface Result {
  readonly status: string;
  readonly reasons: readonly { readonly code: string }[];
}

function commandLine({ evidence, certs = [], at }: VectorCase): readonly string[] {
  return [
    'evidence',
    'verify',
    '--namespace=x-snp',
    '--offline',
    '--output=json',
    `--evidence=${vectorPath(evidence)}`,
    ...certs.flatMap((file) => ['--cert', vectorPath(file)]),
    ...(at === undefined ? [] : ['--at', at]),
  ];
}

const folder = mkdtempSync(join(tmpdir(), 'muster-vectors-'));
afterAll(() => rmSync(folder, { recursive: true }));

describeVectors('real SEV-SNP evidence', () => {
  it('has the expected result, case by case', async () => {
    const results = await Promise.all(
      vectorCases('x-snp').map(async (entry) => {
        const { code, out } = await muster(commandLine(entry), { clock });
        return { entry, code, result: JSON.parse(out) as Result };
      }),
    );
    expect(results.length).toBeGreaterThanOrEqual(7);
    for (const { entry, code, result } of results) {
      expect([entry.id, result.status, code]).toEqual([entry.id, entry.expect, exitCodes[entry.expect]]);
      const expected = reasons[entry.id];
      if (expected !== undefined) expect(result.reasons.map((reason) => reason.code)).toEqual([expected]);
    }
  });

  it('knows the products', async () => {
    const named = vectorCases('x-snp').filter(({ product }) => product !== undefined);
    for (const entry of named) {
      const { out } = await muster(commandLine(entry), { clock });
      expect(JSON.parse(out)).toMatchObject({
        claims: { product: entry.product },
        unchecked: ['crl', 'report_data'],
      });
    }
  });

  it('finds the VLEK genuine while it was valid, and affirms where VMPL 1 is allowed', async () => {
    const entry = vectorCases('x-snp').find(({ id }) => id === 'snp-aws-vlek-v3');
    if (entry === undefined) throw new Error('the manifest has no such case');
    const { out } = await muster(commandLine({ ...entry, at: '2025-06-01T00:00:00Z' }));
    expect(JSON.parse(out)).toMatchObject({ status: 'contraindicated', reasons: [{ code: 'SNP_VMPL' }] });
    const policy = join(folder, 'policy.yaml');
    writeFileSync(policy, 'vmpl: [0, 1]\n');
    const allowed = await muster([
      ...commandLine({ ...entry, at: '2025-06-01T00:00:00Z' }),
      `--policy=${policy}`,
    ]);
    expect([allowed.code, JSON.parse(allowed.out)]).toMatchObject([0, { status: 'affirming', reasons: [] }]);
    const expired = await muster(commandLine({ ...entry, at: '2026-06-01T00:00:00Z' }));
    expect(expired.json()).toMatchObject({ reasons: [{ code: 'SNP_CERTIFICATE_EXPIRED' }] });
  });

  it('is judged the same by the installed command', async () => {
    const [first] = vectorCases('x-snp');
    if (first === undefined) throw new Error('the manifest has no case');
    const bin = resolve(import.meta.dirname, '../../packages/cli/bin/muster.js');
    const { stdout } = await promisify(execFile)(process.execPath, [bin, ...commandLine(first)]);
    expect(JSON.parse(stdout)).toMatchObject({ namespace: 'x-snp', status: 'affirming', reasons: [] });
  });
});
