import { expect, it } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.js';
import { muster } from '../support/cli.js';
import { describeVectors, vectorPath } from '../support/vectors.js';

const clock = new FakeClock(new Date('2026-11-01T00:00:00Z'));
const file = 'nvidia/nras/hopper-claims-v3-detached-eat.json';
const command = ['evidence', 'verify', '--namespace=nras', '--offline', '--output=json'];

describeVectors("real tokens of NVIDIA's attestation service", () => {
  it('nvidia-nras-token: it is read, has expired, and there is no key', async () => {
    const { code, json } = await muster([...command, `--evidence=${vectorPath(file)}`], { clock });
    expect([code, json()]).toMatchObject([
      1,
      {
        status: 'contraindicated',
        reasons: [{ code: 'SERVICE_TOKEN_EXPIRED' }, { code: 'SERVICE_KEY_MISSING' }],
        claims: {
          token: { 'x-nvidia-overall-att-result': true },
          devices: { 'GPU-0': { hwmodel: 'GH100 A01 GSP BROM', measres: 'success' } },
        },
      },
    ]);
  });

  it('nvidia-nras-token: at its time only the key is missing', async () => {
    const args = [...command, `--evidence=${vectorPath(file)}`, '--at=2025-06-11T00:40:00Z'];
    const { code, json } = await muster(args, { clock });
    expect([code, json()]).toMatchObject([1, { status: 'none', reasons: [{ code: 'SERVICE_KEY_MISSING' }] }]);
  });
});
