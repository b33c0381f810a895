import { expect, it } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.js';
import { muster } from '../support/cli.js';
import { describeVectors, vectorPath } from '../support/vectors.js';

const clock = new FakeClock(new Date('2026-11-01T00:00:00Z'));
const command = ['evidence', 'verify', '--namespace=x-tpm', '--offline', '--output=json'];
const keylime = [
  `--evidence=${vectorPath('tpm/keylime/quote.out')}`,
  `--signature=${vectorPath('tpm/keylime/quotesig.out')}`,
  `--cert=${vectorPath('tpm/keylime/akpub.pem')}`,
];
const trustee = `--evidence=${vectorPath('tpm/trustee-evidence.json')}`;

describeVectors('real TPM quotes', () => {
  it('tpm-trustee: the signature holds, and the key is unproven', async () => {
    const { code, json } = await muster([...command, trustee], { clock });
    expect([code, json()]).toMatchObject([
      1,
      {
        status: 'contraindicated',
        reasons: [{ code: 'TPM_AK_UNPROVEN' }],
        claims: { quote_signature: 'holds', ak_proven: false },
        unchecked: ['report_data', 'pcr_selection'],
      },
    ]);
  });

  it('tpm-trustee: the nonce is checked', async () => {
    const nonce =
      'a04182b506878d4f29b91ee606a71a0d3361ccf1b22db20c98adcaa537bea393ef0e41a18b3569ab678f1497fbc5c120';
    const [right, wrong] = await Promise.all(
      [nonce, nonce.replace('a0', 'a1')].map((hex) =>
        muster([...command, trustee, `--nonce=${hex}`], { clock }),
      ),
    );
    expect(right?.json()).toMatchObject({ reasons: [{ code: 'TPM_AK_UNPROVEN' }] });
    expect(wrong?.json()).toMatchObject({ reasons: [{ code: 'TPM_AK_UNPROVEN' }, { code: 'TPM_NONCE' }] });
  });

  it('tpm-keylime: the signature holds under the key that the command names', async () => {
    const { code, json } = await muster([...command, ...keylime], { clock });
    expect([code, json()]).toMatchObject([
      0,
      {
        status: 'affirming',
        claims: { quote_signature: 'holds', pcr_selection: { sha256: [15, 16, 22] } },
        unchecked: ['report_data', 'pcr_selection', 'pcr_values'],
      },
    ]);
  });

  it('tpm-keylime: files that do not belong together are refused', async () => {
    const [evidence = '', signature = '', cert = ''] = keylime;
    const swapped = [evidence.replace('quote.out', 'quotesig.out'), signature, cert];
    expect((await muster([...command, ...swapped], { clock })).json()).toMatchObject({
      status: 'contraindicated',
      reasons: [{ code: 'TPM_QUOTE_UNREADABLE' }],
    });
    for (const incomplete of [
      [evidence, signature],
      [...keylime, cert],
    ]) {
      expect((await muster([...command, ...incomplete], { clock })).code).not.toBe(0);
    }
  });
});
