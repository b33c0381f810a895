import { expect, it } from '@jest/globals';
import type { Answer } from '@muster/shared/endorsements/bundle/answer.js';
import { checkAnswers } from '@muster/shared/endorsements/bundle/check.js';
import { readEndorsement } from '@muster/shared/endorsements/endorsement.js';
import { queryOf } from '@muster/shared/endorsements/paths.js';
import { describeVectors, vector } from '../support/vectors.js';

function answer(vendor: string, path: string, file: string): Answer {
  const query = queryOf(vendor, path);
  const found = query && readEndorsement(query.kind, vector(file));
  if (query === undefined || found === undefined) throw new Error(`${file} is not readable as ${path}`);
  return { query, found };
}

function refusals(answers: readonly Answer[], at: string): readonly (string | undefined)[] {
  const options = { at: new Date(at), simulatedRoots: [] };
  return checkAnswers(answers, options).map(({ refusal }) => refusal?.code);
}

const chip = `vcek/v1/Milan/${'ab'.repeat(64)}?blSPL=1`;

describeVectors('endorsements of real vendors', () => {
  it.each([
    ['Milan', 'ask_ark_milan.pem'],
    ['Genoa', 'ask_ark_genoa.pem'],
    ['Turin', 'ask_ark_turin_vcek.pem'],
  ])("AMD's chain for %s is vouched for by the root of that product, and of no other", (product, file) => {
    for (const name of ['Milan', 'Genoa', 'Turin']) {
      const chain = answer('amd', `vcek/v1/${name}/cert_chain`, `snp/amd-ca/${file}`);
      const expected = name === product ? undefined : 'ENDORSEMENT_UNTRUSTED';
      expect(refusals([chain], '2026-11-01T00:00:00Z')).toEqual([expected]);
    }
  });

  it('a chip certificate needs its chain', () => {
    const chain = answer('amd', 'vcek/v1/Milan/cert_chain', 'snp/amd-ca/ask_ark_milan.pem');
    const vcek = answer('amd', chip, 'snp/milan-v2/vcek.der');
    const forged = answer('amd', chip, 'snp/milan-v2/vcek-invalid-new.der');
    const at = '2026-11-01T00:00:00Z';
    expect(refusals([vcek, chain], at)).toEqual([undefined, undefined]);
    expect(refusals([vcek], at)).toEqual(['ENDORSEMENT_UNTRUSTED']);
    expect(refusals([forged, chain], at)).toEqual(['ENDORSEMENT_UNTRUSTED', undefined]);
  });

  it("NVIDIA's manifest is vouched for until its signer expires", () => {
    const file = 'NV_GPU_DRIVER_GH100_550.90.07';
    const rim = answer('nvidia', `v1/rim/${file}`, `nvidia/rim/${file}.xml`);
    expect(refusals([rim], '2026-02-01T00:00:00Z')).toEqual([undefined]);
    expect(refusals([rim], '2026-07-01T00:00:00Z')).toEqual(['NV_RIM_CERTIFICATE_EXPIRED']);
  });
});
