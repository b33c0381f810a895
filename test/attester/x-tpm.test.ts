import { createHash, createPublicKey, randomBytes, X509Certificate, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Attester, KeyCredential, KeyProof } from '@muster/attester/attester.js';
import { createAttesters } from '@muster/attester/attesters.js';
import { tpmOptions } from '@muster/attester/x-tpm/attester.js';
import { makeCredential } from '@muster/server/activation/make-credential.js';
import type { Appraisal, Evidence } from '@muster/shared/evidence/appraisal.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { verdict } from '../support/snp-case.js';
import { describeTpm, handles, SoftwareTpm } from '../support/swtpm.js';
import { tpmName } from '../support/tpm-builder.js';

const reportData = createHash('sha512').update('a binding').digest();
const failed = (message: string) => ({
  code: 'ATTESTATION_GENERATION_FAILED',
  message: expect.stringContaining(message),
});
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
  const attester = (config: Readonly<Record<string, unknown>>): Attester => {
    const options = { namespace: 'x-tpm', device, attestation_key: handles.ak, ...config };
    return createAttesters([tpmOptions.parse(options)])[0] as Attester;
  };
  const collect = (config: Readonly<Record<string, unknown>> = {}): Promise<Evidence> =>
    attester(config).collect(reportData);
  const proofOf = (config: Readonly<Record<string, unknown>>): KeyProof =>
    attester(config).keyProof as KeyProof;

  it('opens what was made for its keys, and nothing else', async () => {
    device = await tpm.listen();
    name = tpm.read('ak.name').toString('hex');
    const issuers = join(tpm.file('ca'), 'issuer.pem');
    const proof = proofOf({ endorsement_key: handles.ek, endorsement_certificates: issuers });
    const { attestationKey, endorsementCertificates } = await proof.describe();
    expect(tpmName(attestationKey)).toBe(name);
    expect(Buffer.from(attestationKey).equals(tpm.read('ak.pub'))).toBe(true);
    const [ek, issuer] = endorsementCertificates.map((der) => new X509Certificate(der));
    expect(ek?.raw.equals(tpm.read('ek.der'))).toBe(true);
    expect(issuer && ek?.verify(issuer.publicKey)).toBe(true);

    const secret = randomBytes(32);
    const make = (forName: string): KeyCredential =>
      makeCredential(ek?.publicKey as KeyObject, Buffer.from(forName, 'hex'), secret);
    expect(Buffer.from(await proof.open(make(name))).equals(secret)).toBe(true);
    await expect(proof.open(make(`000b${'00'.repeat(32)}`))).rejects.toMatchObject(
      failed('the TPM answered 0x'),
    );
    const eccName = tpm.read('ecc-ak.name').toString('hex');
    await expect(proof.open(make(eccName))).rejects.toMatchObject(failed('the TPM answered 0x'));
    // Sessions of refused credentials are given back: a TPM has places for three.
    for (let attempt = 0; attempt < 4; attempt += 1) {
      await expect(proof.open({ blob: Buffer.alloc(2), encryptedSecret: Buffer.alloc(2) })).rejects.toThrow();
    }
    expect(Buffer.from(await proof.open(make(name))).equals(secret)).toBe(true);
  });

  it('opens credentials for an ECC endorsement key as well', async () => {
    const ek = createPublicKey(tpm.read('ecc-ek.pem'));
    const secret = randomBytes(32);
    const credential = makeCredential(ek, tpm.read('ecc-ak.name'), secret);
    const proof = proofOf({ attestation_key: handles.eccAk, endorsement_key: handles.eccEk });
    expect(Buffer.from(await proof.open(credential)).equals(secret)).toBe(true);
    await expect(proof.describe()).rejects.toMatchObject(failed('no certificate of its endorsement key'));
    const notOne = proofOf({ endorsement_key: handles.ek, endorsement_certificates: tpm.file('broken.pem') });
    tpm.write('broken.pem', '-----BEGIN nothing');
    await expect(notOne.describe()).rejects.toMatchObject(failed('holds no certificates'));
  });

  it('collects a quote that is affirmed for the proven key', async () => {
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
    await expect(collect({ attestation_key: 0x8101_00ff })).rejects.toMatchObject(
      failed('the TPM answered 0x18b'),
    );
    await expect(collect({ pcrs: { sha512: [0] } })).rejects.toMatchObject(
      failed('no PCRs of the bank sha512'),
    );
    await expect(collect({ device: tpm.file('nowhere') })).rejects.toMatchObject(failed('ENOENT'));
  });
});
