import { compare, median, type Figure } from '../measure.js';
import { gpus, manyGpus, simulatedSubjects } from '../verification/simulated.js';
import type { Subject } from '../verification/subject.js';
import { realSubjects } from '../verification/vectors.js';
import { startWorker, type Worker } from '../worker.js';
import type { Case } from './case.js';

/** What the first verification of a process used, and the signatures inside it; CPU time, µs. */
interface First {
  readonly signatures: number;
  readonly muster: number;
  readonly yardstick: number;
}

/**
 * Verifications of each kind of evidence against the checks of the signatures that they rely on: as the first one of a
 * process, which has nothing in its memory, and with everything remembered that comes again with every piece of
 * evidence. And how long a machine with many GPUs that nobody has seen keeps the event loop from others.
 */
export const verification: Case = async ({ quick }) => {
  const figures: Figure[] = [];
  for (const subject of [...(await simulatedSubjects()), ...(await realSubjects())]) {
    figures.push(...(await measure(subject, quick)));
  }
  return [...figures, await longestStall(quick)];
};

async function measure(subject: Subject, quick: boolean): Promise<readonly Figure[]> {
  const [processes, rounds, cpuMs] = quick ? [1, 3, 200] : [3, 5, 400];
  const firsts: First[] = [];
  for (let count = 1; count < processes; count += 1) {
    firsts.push(await inProcess(subject, (worker) => worker.ask<First>('first')));
  }
  return inProcess(subject, async (worker) => {
    firsts.push(await worker.ask<First>('first'));
    const signatures = await worker.ask<number>('warm');
    const warm = await compare(
      rounds,
      () => worker.ask<number>('verifications', cpuMs),
      () => worker.ask<number>('checks', cpuMs),
    );
    return [warmFigure(subject, signatures, warm), coldFigure(subject, firsts)];
  });
}

function warmFigure(
  { name, aim }: Subject,
  signatures: number,
  { muster, yardstick, ratio }: Awaited<ReturnType<typeof compare>>,
): Figure {
  return {
    name: `verifications per CPU-second, endorsements warm: ${name}`,
    unit: '/s',
    muster,
    yardstick: { name: signaturesName(signatures), value: yardstick, ratio },
    ...(aim === undefined ? {} : { aim: { is: 'at least', value: aim } }),
  };
}

function coldFigure({ name }: Subject, firsts: readonly First[]): Figure {
  const value = (select: (first: First) => number): number => median(firsts.map(select));
  return {
    name: `CPU of a process's first verification: ${name}`,
    unit: 'ms',
    muster: value(({ muster }) => muster / 1000),
    yardstick: {
      name: signaturesName(value(({ signatures }) => signatures)),
      value: value(({ yardstick }) => yardstick / 1000),
      ratio: value(({ muster, yardstick }) => muster / yardstick),
    },
  };
}

function signaturesName(count: number): string {
  return count === 1 ? 'its signature' : `its ${count} signatures`;
}

async function longestStall(quick: boolean): Promise<Figure> {
  const subject = { name: '', input: gpus(manyGpus) };
  const stalls: number[] = [];
  for (let count = 0; count < (quick ? 1 : 3); count += 1) {
    await inProcess(subject, async (worker) => {
      stalls.push(await worker.ask<number>('arrive'));
    });
  }
  return {
    name: `longest time on a core between turns of the event loop, ${manyGpus} GPUs never seen before`,
    unit: 'ms',
    muster: median(stalls),
    aim: { is: 'at most', value: 50, of: 'figure' },
  };
}

/** Has work done by a process of its own, which is given what to verify. */
async function inProcess<Result>(
  subject: Subject,
  work: (worker: Worker) => Promise<Result>,
): Promise<Result> {
  const worker = startWorker('verification');
  try {
    await worker.ask('load', subject);
    return await work(worker);
  } finally {
    await worker.kill();
  }
}
