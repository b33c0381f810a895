import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { azureAciAttester, azureAciOptions } from '@muster/attester/x-az-aci/attester.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { boundReportData } from '@muster/shared/evidence/service-token/runtime-data.js';
import { azureAciVerifier } from '@muster/shared/evidence/x-az-aci/verifier.js';
import { HttpStandIn } from '../support/http-stand-in.js';
import { appraiseToken, keySet, reportData, serviceKey, signToken } from '../support/service-tokens.js';
import { verdict } from '../support/snp-case.js';

const sidecar = new HttpStandIn();
let base = '';
beforeAll(async () => void (base = await sidecar.listen()));
afterAll(() => sidecar.close());

const issuer = 'https://sharedeus.eus.attest.azure.net';
const key = serviceKey('RS256');

function collect(signal?: AbortSignal): Promise<Evidence> {
  const options = azureAciOptions.parse({
    namespace: 'x-az-aci',
    sidecar: `${base}/attest/maa`,
    maa_endpoint: new URL(issuer).host,
  });
  return azureAciAttester(options).collect(reportData, signal === undefined ? {} : { signal });
}

it('asks the sidecar for a token whose runtime data the verifier knows', async () => {
  sidecar.answer = { body: JSON.stringify({ token: 'a.b.c' }) };
  await collect();
  const request = sidecar.requests.at(-1);
  const asked = JSON.parse(request?.body ?? '') as { maa_endpoint: string; runtime_data: string };
  expect([request?.method, request?.path, asked.maa_endpoint]).toEqual([
    'POST',
    '/attest/maa',
    new URL(issuer).host,
  ]);

  const token = await signToken(
    {
      iss: issuer,
      'x-ms-attestation-type': 'sevsnpvm',
      'x-ms-compliance-status': 'azure-compliant-uvm',
      'x-ms-sevsnpvm-hostdata': 'ab'.repeat(32),
      'x-ms-sevsnpvm-is-debuggable': false,
      'x-ms-sevsnpvm-migration-allowed': false,
      'x-ms-sevsnpvm-vmpl': 0,
      'x-ms-sevsnpvm-reportdata': boundReportData(Buffer.from(asked.runtime_data, 'base64')),
    },
    key,
  );
  sidecar.answer = { body: JSON.stringify({ token }) };
  const { evidence } = await collect();
  const context = { issuer, keys: await keySet(key) };
  const answer = Buffer.from(evidence).toString();
  expect(verdict(await appraiseToken(azureAciVerifier, answer, context))).toBe('affirming');
  const other = createHash('sha512').update('another binding').digest();
  expect(verdict(await appraiseToken(azureAciVerifier, answer, { ...context, reportData: other }))).toBe(
    'contraindicated SERVICE_NONCE',
  );
});

it.each([
  ['another status', { status: 500, body: '{}' }, 'answered 500'],
  ['no JSON', { body: '<html>' }, 'not understood'],
  ['no token', { body: '{}' }, 'not understood'],
  ['too much', { body: ' '.repeat(300 * 1024) }, 'not understood'],
])('takes %s for a failure', async (_, answer, what) => {
  sidecar.answer = answer;
  await expect(collect()).rejects.toMatchObject({
    code: 'ATTESTATION_GENERATION_FAILED',
    message: expect.stringContaining(what),
  });
});

it('gives up when told to', async () => {
  const reason = new Error('enough');
  await expect(collect(AbortSignal.abort(reason))).rejects.toBe(reason);
});

it('says that nobody listens', async () => {
  const options = azureAciOptions.parse({
    namespace: 'x-az-aci',
    sidecar: 'http://127.0.0.1:1/attest/maa',
    maa_endpoint: 'service.example',
  });
  await expect(azureAciAttester(options).collect(reportData)).rejects.toMatchObject({
    code: 'ATTESTATION_GENERATION_FAILED',
    message: expect.stringContaining('cannot be reached'),
  });
});
