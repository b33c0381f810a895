import { BlackBox } from './black-box.js';
import { Campaign } from './campaign.js';
import { Coverage } from './coverage.js';
import { affirmedOf, answerOf, type Fault } from './judge.js';
import { Random } from './random.js';
import type { Input, Target } from './target.js';
import { targets } from './targets/all.js';

/** What a process is to do: fuzz a target for a time, or where that is 0 give it the input in the box. */
export interface Order {
  readonly target: string;
  /** The file of the black box. */
  readonly box: string;
  readonly seed: number;
  readonly ms: number;
}

/** What a process tells. */
export type Report =
  | { readonly type: 'finding'; readonly fault: Fault; readonly input: Input }
  | { readonly type: 'end'; readonly figures: Figures };

/** What a run came to. */
export interface Figures {
  readonly runs: number;
  /** Blocks of code that the seeds reach, and those that other inputs reached beside. */
  readonly seedBlocks: number;
  readonly newBlocks: number;
  readonly slowestMs: number;
  readonly slowestBytes: number;
}

/** After so many inputs in a row without anything new, coverage is read for several inputs at once, which is faster. */
const patience = 256;
const strides = { eager: 1, patient: 24 };
/** How often the heap is looked at, and by how much it may grow, bytes. */
const heapEvery = 4_000;
const maxGrowth = 96 * 1024 * 1024;

const order = JSON.parse(process.argv[2] ?? '') as Order;
const tell = (report: Report): boolean | undefined => process.send?.(report);

function heapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

async function fuzz(target: Target, box: BlackBox): Promise<void> {
  const coverage = new Coverage();
  const genuine = await affirmedOf(target);
  coverage.take();
  const seedBlocks = coverage.reached;
  const campaign = new Campaign(target, new Random(order.seed));
  const known = new Set<string>();
  let [runs, idle, slowestMs, slowestBytes, heap] = [0, 0, 0, 0, 0];
  let batch: Input[] = [];
  for (const end = performance.now() + order.ms; performance.now() < end; runs += 1) {
    const input = campaign.next();
    box.note(input);
    const { fault, cpuMs } = await answerOf(target, input, genuine);
    if (fault !== undefined && !known.has(`${fault.kind} ${fault.place}`)) {
      known.add(`${fault.kind} ${fault.place}`);
      tell({ type: 'finding', fault, input });
    }
    if (cpuMs > slowestMs) {
      [slowestMs, slowestBytes] = [cpuMs, input.reduce((sum, { bytes }) => sum + bytes.length, 0)];
    }
    batch.push(input);
    if (batch.length >= (idle > patience ? strides.patient : strides.eager)) {
      const isNew = coverage.take() > 0;
      idle = isNew ? 0 : idle + batch.length;
      if (isNew) batch.forEach((each) => campaign.keep(each));
      batch = [];
    }
    if (runs % heapEvery === heapEvery - 1) {
      const now = heapBytes();
      heap ||= now;
      const grown = now - heap;
      if (grown > maxGrowth) {
        const detail = `the heap grew by ${Math.round(grown / 2 ** 20)} MiB in ${runs} inputs`;
        tell({ type: 'finding', fault: { kind: 'memory', detail }, input });
        break;
      }
    }
  }
  const newBlocks = coverage.reached - seedBlocks;
  coverage.close();
  tell({ type: 'end', figures: { runs, seedBlocks, newBlocks, slowestMs, slowestBytes } });
}

/** Gives the target its seeds, so that its code is warm, and then the one input. */
async function replay(target: Target, input: Input): Promise<void> {
  const genuine = await affirmedOf(target);
  await affirmedOf(target);
  const { fault, cpuMs } = await answerOf(target, input, genuine);
  if (fault !== undefined) tell({ type: 'finding', fault, input });
  const slowestBytes = input.reduce((sum, { bytes }) => sum + bytes.length, 0);
  tell({ type: 'end', figures: { runs: 1, seedBlocks: 0, newBlocks: 0, slowestMs: cpuMs, slowestBytes } });
}

const named = targets.find(({ name }) => name === order.target);
if (named === undefined) throw new Error(`there is no target ${order.target}`);
const target = await named.make();
const box = new BlackBox(order.box);
await (order.ms > 0 ? fuzz(target, box) : replay(target, box.read()));
process.disconnect();
