import { expect, it } from '@jest/globals';
import { gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { policySchema } from '@muster/shared/policy/policy.js';
import { appraiseParticipant, openTokens } from '@muster/shared/tokens/appraise-tokens.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { deviceOf, driverRim, rimDocuments } from '../../support/nvidia-case.js';
import { goodResponses, nvTime, simulatedGpu } from '../../support/nvidia-device.js';
import { chipCertificate, revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { signSnpReport, snpReport } from '../../support/snp-report.js';
import { presenter, trustDomain } from '../../support/tokens.js';

const site = presenter('site-1');
const nonce = new Uint8Array(32).fill(1);
const bound = reportData({ nonce, ...site });
const milan = snpHierarchy();
const chip = chipCertificate(milan);
const gpu = simulatedGpu();

/** The evidence of one VM, which carries the participant's report data. */
function cpuEvidence(image: number): Evidence {
  const report = snpReport({ reportData: bound, measurement: new Uint8Array(48).fill(image) });
  return { namespace: 'x-snp', evidence: signSnpReport(report, chip.privateKey) };
}

function gpuEvidence(answered: Uint8Array): Evidence {
  return {
    namespace: 'x-nv-gpu',
    evidence: writeDocument({ devices: [deviceOf(gpu, { nonce: answered })] }),
  };
}

async function judge(...evidence: readonly Evidence[]): Promise<readonly string[]> {
  const jws = await Promise.all(
    evidence.map((piece) =>
      signAttestationToken({
        evidence: piece,
        identity: site.identity,
        audience: registryAudience(trustDomain),
        nonce,
        issuedAt: nvTime,
        lifetimeMs: 600_000,
        privateKey: site.privateKey,
      }),
    ),
  );
  const { proven, reasons } = await appraiseParticipant({
    tokens: openTokens(jws),
    identity: site.identity,
    audience: registryAudience(trustDomain),
    policy: policySchema.parse({
      servers: [{ name: 'server', require: ['x-snp'] }],
      sites: [{ name: '*', require: ['x-snp', 'x-nv-gpu'] }],
    }),
    endorsements: {
      certificates: [chip, milan.ask, milan.ark].map(({ certificate }) => certificate),
      crls: [revocationList(milan)],
      documents: [...rimDocuments, ...goodResponses(gpu.chain, 1)],
    },
    simulatedRoots: [
      { namespace: 'x-snp', fingerprint: milan.rootFingerprint },
      { namespace: 'x-nv-gpu', fingerprint: gpu.fingerprint },
      { namespace: 'x-nv-gpu', fingerprint: driverRim.fingerprint },
    ],
    at: nvTime,
  });
  return proven ? ['proven'] : reasons.map(({ code, namespace = '' }) => `${code} ${namespace}`);
}

it('a machine is proven by its CPU and the GPU that answers it', async () => {
  const cpu = cpuEvidence(1);
  expect(await judge(cpu, gpuEvidence(gpuNonce(bound, cpu.evidence)))).toEqual(['proven']);
});

it("a GPU that answers another VM's evidence is refused, as is one that answers none", async () => {
  const [own, other] = [cpuEvidence(1), cpuEvidence(2)];
  const refused = ['NV_NONCE x-nv-gpu'];
  expect(await judge(own, gpuEvidence(gpuNonce(bound, other.evidence)))).toEqual(refused);
  expect(await judge(own, gpuEvidence(gpuNonce(bound)))).toEqual(refused);
});

it('a GPU cannot do without the CPU that the policy requires', async () => {
  expect(await judge(gpuEvidence(gpuNonce(bound)))).toEqual(['ATTESTATION_MISSING x-snp']);
});
