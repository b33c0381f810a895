import { createHash, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { LiveFederation } from '../support/live/federation.js';
import { inState, jobIs, type JobView } from '../support/live/views.js';
import { eventually } from '../support/live/wait.js';
import { describeTpm, handles, SoftwareTpm } from '../support/swtpm.js';

const measurements = { measurements: ['5a'.repeat(48)] };

/** Sites with a TPM, whose keys nobody has pinned; each test goes on where the one before it ended. */
describeTpm('a federation with a software TPM', () => {
  const tpm = new SoftwareTpm();
  let federation: LiveFederation;
  let attester: Readonly<Record<string, unknown>>;

  beforeAll(async () => {
    await tpm.manufacture();
    const root = new X509Certificate(tpm.read('ca/swtpm-localca-rootca-cert.pem'));
    const issuer = new X509Certificate(tpm.read('ca/issuer.pem'));
    const issuers = tpm.file('issuers.pem');
    writeFileSync(issuers, `${issuer.toString()}${root.toString()}`);
    const ekRoot = createHash('sha256').update(publicKeyDer(root.publicKey)).digest('hex');
    attester = {
      namespace: 'x-tpm',
      device: await tpm.listen(),
      attestation_key: handles.ak,
      endorsement_key: handles.ek,
      endorsement_certificates: issuers,
    };
    federation = await LiveFederation.start({
      lease: '1m',
      policy: {
        sites: [
          { name: 'tpm-*', require: ['x-tpm'] },
          { name: 'amd-*', require: ['x-snp'] },
        ],
        namespaces: {
          'x-snp': measurements,
          'x-tpm': { activation: { ek_roots: [ekRoot] }, revocation: 'optional' },
        },
      },
    });
  }, 120_000);
  afterAll(async () => {
    await federation?.close();
    await tpm.destroy();
  }, 30_000);

  it('trusts a site whose TPM opens the credential, and records which TPM that is', async () => {
    await Promise.all([federation.addSite('tpm-1', { attesters: [attester] }), federation.addSite('amd-1')]);
    await Promise.all(['tpm-1', 'amd-1'].map((name) => inState(federation, name, 'TRUSTED')));
    const { out } = await federation.muster('audit', 'list', '-o', 'json');
    const ek = new X509Certificate(tpm.read('ek.der'));
    const fingerprint = createHash('sha256').update(publicKeyDer(ek.publicKey)).digest('hex');
    expect(out).toContain(
      `TPM key ${tpm.read('ak.name').toString('hex')} beside endorsement key ${fingerprint}`,
    );
    const shown = await federation.muster('participant', 'get', 'tpm-1', '--claims');
    expect(shown.out).toMatch(new RegExp(`ek fingerprint +${fingerprint}`));
  }, 90_000);

  it('runs a job beside a site that believes the server, and verifies the rest itself', async () => {
    expect((await federation.muster('job', 'submit', 'job-1', '--site', 'tpm-1,amd-1')).code).toBe(0);
    expect((await federation.muster('job', 'admit', 'job-1')).code).toBe(0);
    await jobIs(federation, 'job-1', 'ADMITTED');
    expect((await federation.muster('job', 'stop', 'job-1')).code).toBe(0);
  }, 60_000);

  it('stays trusted over fresh evidence and a restart of the server', async () => {
    expect((await federation.muster('verify')).code).toBe(0);
    await inState(federation, 'tpm-1', 'TRUSTED');
    await federation.server.kill();
    await federation.startServer();
    await eventually(
      'the site to return',
      async () => (await federation.muster('verify', 'tpm-1')).code === 0,
    );
    await inState(federation, 'tpm-1', 'TRUSTED');
  }, 90_000);

  it('admits no job with a site that does not believe the server about TPMs', async () => {
    const namespaces = { 'x-snp': measurements };
    await federation.addSite('amd-2', { policy: { namespaces } });
    await Promise.all(['tpm-1', 'amd-2'].map((name) => inState(federation, name, 'TRUSTED')));
    expect((await federation.muster('job', 'submit', 'job-2', '--site', 'tpm-1,amd-2')).code).toBe(0);
    expect((await federation.muster('job', 'admit', 'job-2')).code).toBe(1);
    const { job } = await federation.ask<JobView>('job', 'get', 'job-2');
    expect(job.reasons).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: 'TPM_AK_UNPROVEN', participant: 'tpm-1', namespace: 'x-tpm' }),
      ]),
    );
  }, 90_000);

  it('lets no site in whose key is not proven, and says what to do', async () => {
    const { endorsement_key: _, endorsement_certificates: __, ...unproven } = attester;
    const { agent } = await federation.addSite('tpm-2', { attesters: [unproven] });
    expect((await agent.ended).code).not.toBe(0);
    expect(agent.output()).toContain('TPM_AK_UNPROVEN');
    expect(agent.output()).toContain('endorsement_key');
  }, 60_000);

  it('lets no site in that knows no issuer of its TPM', async () => {
    const { endorsement_certificates: _, ...incomplete } = attester;
    const { agent } = await federation.addSite('tpm-3', { attesters: [incomplete] });
    expect((await agent.ended).code).not.toBe(0);
    expect(agent.output()).toContain('TPM_EK_CHAIN_BROKEN');
  }, 60_000);
});
