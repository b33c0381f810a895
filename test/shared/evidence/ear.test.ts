import { describe, expect, it } from '@jest/globals';
import { earClaims } from '@muster/shared/evidence/ear.js';
import { appraise, deviceOf } from '../../support/nvidia-case.js';
import { simulatedGpu } from '../../support/nvidia-device.js';
import { appraiseSnp } from '../../support/snp-case.js';

const context = {
  verifierId: { developer: 'https://muster.example', build: 'muster 0.1.0' },
  issuedAt: new Date('2026-01-01T00:00:00.900Z'),
  policyId: 'sha256:1234',
};

describe('attestation results', () => {
  it('states an appraisal in the form of the draft', async () => {
    expect(
      earClaims([await appraiseSnp({ policy: { measurements: ['5a'.repeat(48)] } })], context),
    ).toMatchObject({
      eat_profile: 'tag:github.com,2023:veraison/ear',
      iat: 1767225600,
      'ear.verifier-id': context.verifierId,
      submods: {
        'x-snp': {
          'ear.status': 'affirming',
          'ear.trustworthiness-vector': { 'instance-identity': 2, executables: 2, hardware: 2 },
          'ear.appraisal-policy-id': 'sha256:1234',
          'muster.reasons': [],
          'muster.claims': { product: 'Milan' },
          'muster.unchecked': ['report_data'],
          'muster.simulated': true,
        },
      },
    });
  });

  it('gives the reasons of a refusal', async () => {
    const { submods } = earClaims([await appraiseSnp({ fields: { vmpl: 1 } })], context);
    expect(submods['x-snp']).toMatchObject({
      'ear.status': 'contraindicated',
      'ear.trustworthiness-vector': { configuration: 96 },
      'muster.reasons': [{ code: 'SNP_VMPL' }],
    });
  });

  it('claims nothing where nothing can be said', async () => {
    const { submods } = earClaims([await appraiseSnp({ certificates: () => [] })], context);
    expect(submods['x-snp']).toMatchObject({ 'ear.status': 'none' });
    expect(submods['x-snp']).not.toHaveProperty('ear.trustworthiness-vector');
  });

  it('is about at least one namespace, and about each once', async () => {
    const appraisal = await appraiseSnp();
    expect(() => earClaims([], context)).toThrow('at least one');
    expect(() => earClaims([appraisal, appraisal], context)).toThrow('about each one once');
    const both = earClaims([appraisal, { ...appraisal, namespace: 'x-other' }], context);
    expect(Object.keys(both.submods)).toEqual(['x-snp', 'x-other']);
  });

  it('has a submodule for each device, beside that of all together', async () => {
    const good = deviceOf(simulatedGpu());
    const forged = { ...good, report: Uint8Array.from(good.report) };
    forged.report.fill(1, -1);
    const { submods } = earClaims(
      [await appraiseSnp(), await appraise({ devices: [good, forged] })],
      context,
    );
    expect(Object.keys(submods)).toEqual(['x-snp', 'x-nv-gpu', 'x-nv-gpu/GPU-0', 'x-nv-gpu/GPU-1']);
    expect(submods['x-nv-gpu']).toMatchObject({ 'ear.status': 'contraindicated' });
    expect(submods['x-nv-gpu/GPU-0']).toMatchObject({ 'muster.claims': { results: { signature: 'valid' } } });
    expect(submods['x-nv-gpu/GPU-1']).toMatchObject({
      'ear.status': 'contraindicated',
      'ear.trustworthiness-vector': { hardware: 99 },
      'muster.reasons': [{ code: 'NV_REPORT_SIGNATURE' }],
    });
  });

  it('survives JSON as it is', async () => {
    const claims = earClaims([await appraiseSnp({ fields: { version: 5 } })], context);
    expect(JSON.parse(JSON.stringify(claims))).toEqual(claims);
  });
});
