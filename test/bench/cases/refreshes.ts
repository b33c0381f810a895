import { generateKeyPairSync, randomBytes, sign, verify, type KeyObject } from 'node:crypto';
import { openFleet, type Fleet } from '../fleet.js';
import { compare, median, type Comparison, type Figure } from '../measure.js';
import type { Case } from './case.js';

/** How many refreshes are under way at the same time. */
const width = 64;
/** A file system in memory, where what is written durably costs nothing. */
const memory = '/dev/shm';

/**
 * Verified token refreshes: challenge, evidence, appraisal, durable record, verdict, over mTLS. Against nothing but the
 * verification of the signature that its evidence cannot do without; and against a store that is not durable.
 */
export const refreshes: Case = async ({ federation, quick }) => {
  const [size, warmUp, count, rounds] = quick ? [64, 1_000, 500, 3] : [256, 3_000, 1_000, 5];
  const tokens = await openFleet(federation, { namespace: 'x-a', size });
  const snp = await openFleet(federation, { namespace: 'x-snp', size });
  const volatile = await openFleet(federation, { namespace: 'x-a', size, storage: memory });
  try {
    await Promise.all([tokens, snp, volatile].map((fleet) => refresh(fleet, warmUp)));
    const es256 = await compare(
      rounds,
      () => refreshesPerCpuSecond(tokens, count),
      async () => verificationsPerCpuSecond('P-256', 'sha256', 4_000),
    );
    const p384 = await compare(
      rounds,
      () => refreshesPerCpuSecond(snp, count / 2),
      async () => verificationsPerCpuSecond('P-384', 'sha384', 800),
    );
    const durable = await compare(
      rounds,
      () => refreshesPerSecond(tokens, count),
      () => refreshesPerSecond(volatile, count),
    );
    const figures: readonly Figure[] = [
      perCpuSecond('token refreshes per CPU-second', 'raw ES256', es256, 0.4),
      perCpuSecond('SNP refreshes per CPU-second, endorsements warm', 'raw P-384', p384, 0.8),
      {
        name: 'durable token refreshes per second',
        unit: '/s',
        muster: durable.muster,
        yardstick: { name: 'not durable', value: durable.yardstick, ratio: durable.ratio },
        aim: { is: 'at least', value: 0.9 },
      },
    ];
    return figures;
  } finally {
    await Promise.all([tokens, snp, volatile].map((fleet) => fleet.close()));
  }
};

/** Refreshes a second of wall time that a server carries when it is always asked for more. */
export async function refreshesPerSecond(fleet: Fleet, count: number): Promise<number> {
  const began = performance.now();
  await refresh(fleet, count);
  return count / ((performance.now() - began) / 1000);
}

async function refreshesPerCpuSecond(fleet: Fleet, count: number): Promise<number> {
  return count / ((await fleet.server.cpuOf(() => refresh(fleet, count))) / 1e6);
}

async function refresh({ server }: Fleet, count: number): Promise<void> {
  await server.ask('refresh', { count, width });
}

function perCpuSecond(name: string, yardstick: string, found: Comparison, aim: number): Figure {
  return {
    name,
    unit: '/s',
    muster: found.muster,
    yardstick: { name: yardstick, value: found.yardstick, ratio: found.ratio },
    aim: { is: 'at least', value: aim },
  };
}

/** Signatures that this process verifies in a second of its CPU. */
function verificationsPerCpuSecond(curve: string, hash: string, count: number): number {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const data = randomBytes(672);
  const dsaEncoding = 'ieee-p1363';
  const signature = sign(hash, data, { key: privateKey, dsaEncoding });
  const once = (key: KeyObject): boolean => verify(hash, data, { key, dsaEncoding }, signature);
  const batches = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    for (let turn = 0; turn < count / 5; turn += 1) once(publicKey);
    const { user, system } = process.cpuUsage(before);
    return count / 5 / ((user + system) / 1e6);
  });
  return median(batches);
}
