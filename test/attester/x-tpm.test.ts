import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { tpmAttester, tpmOptions } from '@muster/attester/x-tpm/attester.js';
import { systemClock } from '@muster/shared/clock.js';
import type { Appraisal, Evidence } from '@muster/shared/evidence/appraisal.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { verdict } from '../support/snp-case.js';
import { describeTpm, handles, SoftwareTpm } from '../support/swtpm.js';

const reportData = createHash('sha512').update('a binding').digest();
const allPcrs = Array.from({ length: 24 }, (_, index) => index);

function appraise(
  evidence: Evidence,
  policy: Readonly<Record<string, unknown>>,
  bound = reportData,
): Appraisal {
  return tpmVerifier.appraise({
    evidence,
    endorsements: { certificates: [], crls: [] },
    reportData: bound,
    policy: tpmVerifier.policySchema.parse(policy),
    at: new Date('2026-01-01T00:00:00Z'),
    simulatedRoots: [],
  });
}

describeTpm('a software TPM, from its maker to the verdict', () => {
  const tpm = new SoftwareTpm();
  beforeAll(() => tpm.manufacture(), 60_000);
  afterAll(() => tpm.destroy());

  let name = '';
  let device = '';
  const collect = (config: Readonly<Record<string, unknown>> = {}): Promise<Evidence> => {
    const options = { namespace: 'x-tpm', device, attestation_key: handles.ak, ...config };
    return tpmAttester(tpmOptions.parse(options), systemClock).collect(reportData);
  };

  it("proves the attestation key once, against the maker's certificate of the endorsement key", () => {
    const ek = new X509Certificate(tpm.read('ek.der'));
    const issuer = new X509Certificate(tpm.read('ca/issuer.pem'));
    const root = new X509Certificate(tpm.read('ca/swtpm-localca-rootca-cert.pem'));
    expect([ek.verify(issuer.publicKey), issuer.verify(root.publicKey)]).toEqual([true, true]);

    name = tpm.read('ak.name').toString('hex');
    const secret = randomBytes(32);
    tpm.write('secret', secret);
    tpm.write('ek.pem', ek.publicKey.export({ format: 'pem', type: 'spki' }));
    const make = (forName: string, credential: string): void => {
      tpm.run(
        'tpm2_makecredential',
        '-T',
        'none',
        '-G',
        'rsa',
        '-u',
        'ek.pem',
        '-s',
        'secret',
        '-n',
        forName,
        '-o',
        credential,
      );
    };
    make(name, 'credential');
    expect(tpm.activate('credential').equals(secret)).toBe(true);
    make(`000b${'00'.repeat(32)}`, 'foreign');
    expect(() => tpm.activate('foreign')).toThrow();
  });

  it('collects a quote that is affirmed for the proven key', async () => {
    device = await tpm.listen();
    const evidence = await collect();
    const policy = { trusted_aks: [name], pcr_selection: { sha256: allPcrs }, require_safe_clock: false };
    expect(appraise(evidence, policy)).toMatchObject({
      status: 'affirming',
      unchecked: [],
      claims: { ak_name: name, pcr_selection: { sha256: allPcrs } },
    });
    expect(verdict(appraise(evidence, { ...policy, trusted_aks: [] }))).toBe(
      'contraindicated TPM_AK_UNPROVEN',
    );
    expect(verdict(appraise(evidence, policy, Buffer.alloc(64)))).toBe('contraindicated TPM_NONCE');
  });

  it('collects the PCRs that are asked for, with their values', async () => {
    const evidence = await collect({ pcrs: { sha256: [0, 7, 23] } });
    const zeros = '00'.repeat(32);
    const policy = {
      trusted_aks: [name],
      pcr_selection: { sha256: [0, 7, 23] },
      pcrs: { sha256: { 7: [zeros] } },
    };
    expect(verdict(appraise(evidence, policy))).toBe('affirming');
    const other = { ...policy, pcrs: { sha256: { 7: ['ff'.repeat(32)] } } };
    expect(verdict(appraise(evidence, other))).toBe('contraindicated TPM_PCR_VALUE');
    const more = { ...policy, pcr_selection: { sha256: [0, 7] } };
    expect(verdict(appraise(evidence, more))).toBe('contraindicated TPM_PCR_SELECTION');
  });

  it('says what went wrong', async () => {
    const failed = (message: string) => ({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringContaining(message),
    });
    await expect(collect({ attestation_key: 0x8101_00ff })).rejects.toMatchObject(
      failed('the TPM answered 0x18b'),
    );
    await expect(collect({ pcrs: { sha512: [0] } })).rejects.toMatchObject(
      failed('no PCRs of the bank sha512'),
    );
    await expect(collect({ device: tpm.file('nowhere') })).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
