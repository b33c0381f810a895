import { readFileSync } from 'node:fs';
import { appraiseFiles } from '@muster/cli/evidence/verify.js';
import { readPolicy, requireVerifier } from '@muster/cli/evidence/input.js';
import { systemClock } from '@muster/shared/clock.js';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { hasVectors, vectorPath, type VectorCase } from '../../support/vector-files.js';
import type { Subject } from './subject.js';

type Entry = VectorCase & {
  readonly nonce?: string;
  readonly nonce_utf8?: string;
  readonly rims?: readonly string[];
};

/** Evidence of real hardware that is affirmed, by the manifest's names, and what is aimed at. */
const chosen = [
  { id: 'snp-genoa-v3', name: 'x-snp of a real Genoa', aim: 0.8 },
  { id: 'tdx-v4-uptodate', name: 'x-tdx of a real Xeon', aim: 1 / 3 },
  { id: 'nvidia-hopper', name: 'x-nv-gpu of a real Hopper', aim: 1 / 2 },
  { id: 'az-snp-vtpm-v1', name: 'x-az-cvm of a real Milan' },
];

/** Evidence of real hardware, where it is at hand. */
export async function realSubjects(): Promise<readonly Subject[]> {
  if (!hasVectors) return [];
  const entries = JSON.parse(readFileSync(vectorPath('MANIFEST.json'), 'utf8')) as readonly Entry[];
  return Promise.all(
    chosen.map(async ({ id, ...subject }) => {
      const entry = entries.find((candidate) => candidate.id === id);
      if (entry === undefined) throw new Error(`the manifest has no ${id}`);
      return { ...subject, input: await inputOf(entry) };
    }),
  );
}

/** What `muster evidence verify` gives to the verifier. */
async function inputOf({
  namespace,
  evidence,
  certs = [],
  ...entry
}: Entry): Promise<AppraisalInput<unknown>> {
  const { collateral, nonce_utf8, rims, at } = entry;
  const nonce = entry.nonce ?? (nonce_utf8 && Buffer.from(nonce_utf8).toString('hex'));
  const verifier = requireVerifier(namespace);
  const inputs: AppraisalInput<unknown>[] = [];
  const options = {
    namespace,
    offline: true,
    evidence: vectorPath(evidence),
    cert: certs.map(vectorPath),
    ...(collateral === undefined ? {} : { collateral: vectorPath(collateral) }),
    ...(rims === undefined ? {} : { rim: rims.map(vectorPath) }),
    ...(nonce === undefined ? {} : { nonce }),
    ...(at === undefined ? {} : { at }),
  } as const;
  const spy = {
    ...verifier,
    appraise: (input: AppraisalInput<unknown>) => {
      inputs.push(input);
      return verifier.appraise(input);
    },
  };
  await appraiseFiles(spy, readPolicy(verifier, undefined), options, systemClock, {});
  const [input] = inputs;
  if (input === undefined) throw new Error(`${evidence} was not appraised`);
  return input;
}
