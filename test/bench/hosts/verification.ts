// A process that verifies evidence, and the signatures inside it alone.
import { signaturesOf, type SignatureCheck } from '../verification/signatures.js';
import { verifierOf } from '@muster/shared/evidence/verifiers.js';
import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import type { Subject } from '../verification/subject.js';
import { serveDriver } from './host.js';
import { ranMs } from './turns.js';

/** How many verifications are under way at once, as in a server: some have their signatures checked by other threads. */
const width = 8;

/** How much more work is done from one look at the clock to the next, which is slow. */
const growth = 1.2;

/** CPU time after which a process verifies as fast as it ever will, ms. */
const warmUpMs = 1_000;

let subject: Subject | undefined;
/** The signatures that a verification with everything remembered still checks. */
let own: readonly SignatureCheck[] = [];

serveDriver({
  load: (given: Subject) => {
    subject = given;
  },
  /** The first verification of this process, and the signatures inside it; CPU time of each, µs. */
  first: async () => {
    const before = process.cpuUsage();
    const checks = await signaturesOf(verify);
    const { user, system } = process.cpuUsage(before);
    const rate = await rateOf(() => checks.forEach((check) => check()), 50);
    return { signatures: checks.length, muster: user + system, yardstick: 1e6 / rate };
  },
  /** As a server does it: what is worth fetching is asked first. The longest time without a turn, ms. */
  arrive: () =>
    longestTurn(async () => {
      const { verifier, input } = given();
      await verifier.endorsementQueries(input.evidence, input.endorsements);
      await verify();
    }),
  warm: async () => {
    await rateOf(verifySome, warmUpMs);
    own = await signaturesOf(verify);
    return own.length;
  },
  /** Per second of CPU. */
  verifications: async (cpuMs: number) => width * (await rateOf(verifySome, cpuMs)),
  checks: (cpuMs: number) => rateOf(() => own.forEach((check) => check()), cpuMs),
});

function given(): {
  readonly verifier: NonNullable<ReturnType<typeof verifierOf>>;
  readonly input: Subject['input'];
} {
  const verifier = verifierOf(subject?.input.evidence.namespace ?? '');
  if (subject === undefined || verifier === undefined) throw new Error('there is nothing to verify');
  return { verifier, input: subject.input };
}

async function verify(): Promise<Appraisal> {
  const { verifier, input } = given();
  const appraisal = await verifier.appraise(input);
  if (appraisal.status !== 'affirming') throw new Error(JSON.stringify(appraisal.reasons));
  return appraisal;
}

function verifySome(): Promise<readonly Appraisal[]> {
  return Promise.all(Array.from({ length: width }, verify));
}

/**
 * The longest that work keeps the event loop from coming round, ms. Only the time of its thread on a core counts, so that
 * neither other processes nor the compiler's threads lengthen it.
 */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let isOver = false;
  let last = ranMs();
  const turn = (): void => {
    const now = ranMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(turn);
  };
  turn();
  await work();
  isOver = true;
  turn();
  return longest;
}

/** How often work can be done in a second of this process's CPU, tried for some CPU time. */
async function rateOf(work: () => unknown, cpuMs: number): Promise<number> {
  const before = process.cpuUsage();
  let count = 0;
  for (let goal = 1; ; goal = Math.ceil(goal * growth)) {
    for (; count < goal; count += 1) await work();
    const { user, system } = process.cpuUsage(before);
    if (user + system >= cpuMs * 1000) return (count * 1e6) / (user + system);
  }
}
