import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { muster, type CliResult } from '../support/cli.js';
import { FakeClock } from '../support/fake-clock.js';
import { chipCertificate, revocationList, snpHierarchy } from '../support/snp-builder.js';
import { at } from '../support/snp-case.js';
import { signSnpReport, snpReport } from '../support/snp-report.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-policy-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const milan = snpHierarchy();
const chip = chipCertificate(milan);
const evidence = file('report.bin', signSnpReport(snpReport(), chip.privateKey));
const certificates = [
  file('vcek.der', chip.certificate),
  file('ask.der', milan.ask.certificate),
  file('ark.der', milan.ark.certificate),
].flatMap((path) => ['--cert', path]);
const trusted = ['--simulated-root', milan.rootFingerprint, '--offline'];
const revocation = ['--collateral', file('list.crl', revocationList(milan))];

const measurements = ['5a'.repeat(48)];
const policy = {
  servers: [{ name: 'server', require: ['x-snp'] }],
  sites: [
    { name: 'old-*', require: ['x-snp'], namespaces: { 'x-snp': { measurements: ['aa'.repeat(48)] } } },
    { name: 'lab-1', exempt: true, because: 'a test' },
    { name: 'site-*', require: ['x-snp', 'x-nv-gpu'] },
  ],
  namespaces: { 'x-snp': { measurements } },
};

function tryFile(path: string, ...args: readonly string[]): Promise<CliResult> {
  const base = ['policy', 'test', '--policy', path, '--namespace', 'x-snp', '--evidence', evidence];
  return muster([...base, ...certificates, ...trusted, ...args], { clock: new FakeClock(at) });
}

function trial(rules: readonly object[], ...args: readonly string[]): Promise<CliResult> {
  return tryFile(file('policy.yaml', stringify({ ...policy, rules })), ...revocation, ...args);
}

const asJson = ['--output', 'json'];

describe('muster policy test', () => {
  it('says what a policy would say, rule by rule', async () => {
    const rules = [
      { name: 'firmware', when: 'x-snp', expression: 'claims.tcb.reported.snp >= 24' },
      { name: 'named', expression: "participant == 'site-1'" },
      { name: 'gpus', when: 'x-nv-gpu', expression: 'false' },
    ];
    const { code, json } = await trial(rules, '--participant', 'site-1', ...asJson);
    expect(json()).toMatchObject({
      proof: true,
      participant: 'site-1',
      role: 'site',
      rule: { name: 'site-*', require: ['x-snp', 'x-nv-gpu'], exempt: false },
      namespace_policy: 'file',
      verifier_status: 'affirming',
      rules: [
        { name: 'firmware', outcome: 'holds' },
        { name: 'named', outcome: 'holds' },
        { name: 'gpus', outcome: 'skipped', expression: 'false' },
      ],
      appraisal: { namespace: 'x-snp', status: 'affirming', simulated: true },
    });
    expect(code).toBe(0);
  });

  it('shows which rule refuses', async () => {
    const rules = [
      { name: 'firmware', expression: 'claims.tcb.reported.snp >= 99', message: 'The firmware is old.' },
      { name: 'slip', expression: 'claims.no.such == 1', tier: 'warning' },
    ];
    const { code, out } = await trial(rules, '--participant', 'site-1');
    expect(out).toMatch(/^no proof\n/);
    expect(out).toMatch(/verifier +affirming\n/);
    expect(out).toMatch(/rule firmware +does not hold: contraindicated\n/);
    expect(out).toMatch(/rule slip +cannot be evaluated: warning\n/);
    expect(out).toContain('The rule firmware: The firmware is old.');
    expect(code).toBe(1);
  });

  it("judges by the participant's own rule", async () => {
    const { code, json } = await trial([], '--participant', 'old-1', ...asJson);
    expect(json()).toMatchObject({
      proof: false,
      namespace_policy: 'rule',
      appraisal: { status: 'contraindicated', reasons: [{ code: 'SNP_MEASUREMENT_UNKNOWN' }] },
    });
    expect(code).toBe(1);
    expect((await trial([], '--participant', 'lab-1')).out).toContain('exempts the participant');
  });

  it('judges by what holds for everybody where no participant is named', async () => {
    const { code, json } = await trial([], ...asJson);
    expect(json()).toMatchObject({ proof: true, namespace_policy: 'file' });
    expect(json()).not.toHaveProperty('participant');
    expect(code).toBe(0);
  });

  it('knows the role', async () => {
    const server = await trial([], '--participant', 'server', '--role', 'server', ...asJson);
    expect(server.json()).toMatchObject({ proof: true, role: 'server', rule: { name: 'server' } });
    const unlisted = await trial([], '--participant', 'server', ...asJson);
    expect(unlisted.json()).toMatchObject({ error: { code: 'POLICY_PARTICIPANT_UNLISTED' } });
    expect(unlisted.code).toBe(1);
  });

  it('is as strict as the server about revocation', async () => {
    const { code, json } = await tryFile(file('strict.yaml', stringify(policy)), ...asJson);
    expect(json()).toMatchObject({ proof: false, appraisal: { status: 'none' } });
    expect(code).toBe(1);
  });
});

describe('muster policy validate', () => {
  it('accepts a policy, and names what is wrong with another', async () => {
    const good = file('good.yaml', stringify(policy));
    expect(await muster(['policy', 'validate', good])).toMatchObject({ code: 0, out: 'valid\n' });
    const bad = file('bad.yaml', stringify({ ...policy, rules: [{ name: 'r', expression: 'clams' }] }));
    const { code, json } = await muster(['policy', 'validate', bad, ...asJson]);
    expect(json()).toMatchObject({ error: { code: 'POLICY_INVALID', path: 'rules[0].expression' } });
    expect(code).toBe(2);
  });
});
