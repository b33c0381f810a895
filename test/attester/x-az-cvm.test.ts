import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { azureCvmAttester, azureCvmOptions } from '@muster/attester/x-az-cvm/attester.js';
import { systemClock } from '@muster/shared/clock.js';
import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import { azureCvmVerifier } from '@muster/shared/evidence/x-az-cvm/verifier.js';
import { attestationJwk, azureMachine, vtpmKey, type AzureSubject } from '../support/azure-builder.js';
import { HttpStandIn } from '../support/http-stand-in.js';
import { at, verdict } from '../support/snp-case.js';
import { describeTpm, handles, SoftwareTpm } from '../support/swtpm.js';

const reportData = createHash('sha512').update('a binding').digest();

/** The largest NV index that the software TPM has; what the report has after it are zeros. */
const nvIndexBytes = 2048;

/** What a machine of this kind keeps in its vTPM and gets from the metadata service, around the vTPM's real key. */
function partsOf(tee: 'snp' | 'tdx', publicKey: KeyObject) {
  const runtime = { keys: [attestationJwk({ ...vtpmKey, publicKey })] };
  const machine = azureMachine({ tee, runtime });
  const json = JSON.parse(Buffer.from(machine.evidence).toString()) as Record<string, string>;
  return { machine, hcl: Buffer.from(json['hcl_report'] ?? '', 'base64url').subarray(0, nvIndexBytes), json };
}

describeTpm('an Azure confidential VM with a software TPM', () => {
  describe.each(['snp', 'tdx'] as const)('%s', (tee) => {
    const tpm = new SoftwareTpm();
    const metadata = new HttpStandIn();
    let machine: AzureSubject | undefined;
    let device = '';
    let service = '';

    beforeAll(async () => {
      await tpm.manufacture();
      const ek = `0x${handles.ek.toString(16)}`;
      tpm.run(
        'tpm2_createak',
        '-C',
        ek,
        '-c',
        'az.ctx',
        '-G',
        'rsa',
        '-g',
        'sha256',
        '-s',
        'rsassa',
        '-u',
        'az.pem',
        '-f',
        'pem',
      );
      tpm.run('tpm2_flushcontext', '-t');
      tpm.run('tpm2_evictcontrol', '-C', 'o', '-c', 'az.ctx', '0x81000003');
      tpm.run('tpm2_flushcontext', '-t');
      const parts = partsOf(tee, createPublicKey(tpm.read('az.pem')));
      machine = parts.machine;
      tpm.write('hcl', parts.hcl);
      tpm.run(
        'tpm2_nvdefine',
        '0x1400001',
        '-C',
        'o',
        '-s',
        `${parts.hcl.length}`,
        '-a',
        'ownerread|ownerwrite',
      );
      tpm.run('tpm2_nvwrite', '0x1400001', '-C', 'o', '-i', 'hcl');
      device = await tpm.listen();
      service = await metadata.listen();
      const { vcek = '', td_quote = '' } = parts.json;
      const pem = `-----BEGIN CERTIFICATE-----\n${vcek}\n-----END CERTIFICATE-----\n`;
      metadata.answer = { body: JSON.stringify(tee === 'snp' ? { vcekCert: pem } : { quote: td_quote }) };
    }, 60_000);
    afterAll(async () => {
      await Promise.all([tpm.destroy(), metadata.close()]);
    });

    async function collectAndAppraise(bound: Uint8Array): Promise<Appraisal> {
      const options = azureCvmOptions.parse({ namespace: 'x-az-cvm', device, metadata_service: service });
      const evidence = await azureCvmAttester(options, systemClock).collect(reportData);
      return azureCvmVerifier.appraise({
        evidence,
        endorsements: machine?.endorsements ?? { certificates: [], crls: [] },
        simulatedRoots: machine?.simulatedRoots ?? [],
        reportData: bound,
        policy: azureCvmVerifier.policySchema.parse({ tees: [tee] }),
        at,
      });
    }

    it('collects evidence that is affirmed, and bound to this round', async () => {
      expect(await collectAndAppraise(reportData)).toMatchObject({
        status: 'affirming',
        claims: { tee },
        unchecked: [],
      });
      expect(verdict(await collectAndAppraise(Buffer.alloc(64)))).toBe('contraindicated TPM_NONCE');
    });

    it('asks the metadata service as it wants to be asked', () => {
      const request = metadata.requests.at(-1);
      if (tee === 'snp') {
        expect(request).toMatchObject({
          method: 'GET',
          path: '/metadata/THIM/amd/certification',
          headers: { metadata: 'true' },
        });
      } else {
        expect(request).toMatchObject({ method: 'POST', path: '/acc/tdquote' });
        const { report } = JSON.parse(request?.body ?? '') as { report: string };
        expect(Buffer.from(report, 'base64url')).toHaveLength(1024);
      }
    });

    it('says what the metadata service does wrong', async () => {
      metadata.answer = { status: 404, body: '' };
      await expect(collectAndAppraise(reportData)).rejects.toMatchObject({
        code: 'ATTESTATION_GENERATION_FAILED',
      });
    });
  });
});
