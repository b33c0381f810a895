import { MusterError } from '@muster/shared/errors.js';
import { isReasonCode } from '@muster/shared/reasons.js';
import type { Input, Target } from './target.js';

/** What is wrong with the answer to an input. */
export interface Fault {
  readonly kind: 'error' | 'affirmed' | 'slow' | 'memory' | 'hang' | 'crash';
  readonly detail: string;
  /** Where an error came from. */
  readonly place?: string;
}

/** The answer to an input: what was affirmed, or why it is a finding. */
export interface Answer {
  readonly affirmed: readonly string[];
  readonly fault?: Fault;
  /** Time of the processor, ms. */
  readonly cpuMs: number;
  /** By how much the heap grew, bytes; less than zero where it was swept. */
  readonly heapBytes: number;
}

const defaultSlowMs = 100;
/** How much one input may leave on the heap, bytes. */
const maxHeapBytes = 128 * 1024 * 1024;

/** Gives an input to a target, and judges the answer. What the seeds affirm is what may be affirmed. */
export async function answerOf(target: Target, input: Input, genuine: ReadonlySet<string>): Promise<Answer> {
  const [cpu, heap] = [process.cpuUsage(), process.memoryUsage().heapUsed];
  const outcome = await attempt(target, input);
  const { user, system } = process.cpuUsage(cpu);
  const [cpuMs, heapBytes] = [(user + system) / 1000, process.memoryUsage().heapUsed - heap];
  const fault =
    outcome.fault ?? falseYes(outcome.affirmed, genuine) ?? excess(cpuMs, heapBytes, target) ?? pollution();
  return { affirmed: outcome.affirmed, cpuMs, heapBytes, ...(fault === undefined ? {} : { fault }) };
}

/** What the seeds of a target affirm. Throws where one of them is a finding by itself. */
export async function affirmedOf(target: Target): Promise<ReadonlySet<string>> {
  const affirmed = new Set<string>();
  for (const seed of target.seeds) {
    const outcome = await attempt(target, seed);
    if (outcome.fault !== undefined) throw new Error(`a seed is a finding: ${outcome.fault.detail}`);
    for (const item of outcome.affirmed) affirmed.add(item);
  }
  return affirmed;
}

async function attempt(target: Target, input: Input): Promise<Pick<Answer, 'affirmed' | 'fault'>> {
  try {
    return { affirmed: await target.run(input) };
  } catch (error) {
    const isDocumented =
      error instanceof Error &&
      ((error instanceof MusterError && error.reasons.every(({ code }) => isReasonCode(code))) ||
        target.documents?.(error) === true);
    return { affirmed: [], ...(isDocumented ? {} : { fault: describe(error) }) };
  }
}

function falseYes(affirmed: readonly string[], genuine: ReadonlySet<string>): Fault | undefined {
  const wrong = affirmed.find((item) => !genuine.has(item));
  if (wrong === undefined) return undefined;
  return { kind: 'affirmed', detail: `affirmed what no seed says: ${wrong.slice(0, 80)}` };
}

function excess(cpuMs: number, heapBytes: number, { slowMs = defaultSlowMs }: Target): Fault | undefined {
  if (cpuMs > slowMs) return { kind: 'slow', detail: `took ${Math.round(cpuMs)} ms` };
  if (heapBytes > maxHeapBytes)
    return { kind: 'memory', detail: `took ${Math.round(heapBytes / 2 ** 20)} MiB` };
  return undefined;
}

/** Names in an input must never become properties of every object. */
function pollution(): Fault | undefined {
  const names = Object.keys(Object.prototype);
  for (const name of names) Reflect.deleteProperty(Object.prototype, name);
  return names.length === 0 ? undefined : { kind: 'error', detail: `Object.prototype has ${names.join()}` };
}

/** An error, and the place where it came from, by which findings are told apart. */
function describe(error: unknown): Fault {
  if (!(error instanceof Error)) return { kind: 'error', detail: `threw ${typeof error}` };
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  const own = frames.find((line) => /\/packages\/\w+\/(?:dist|src)\//.test(line)) ?? frames[0] ?? '';
  const place = own.replace(/^\s+at /, '').replace(/(?:file:)?\/.*\/(?=packages|test|node_modules)/, '');
  return { kind: 'error', detail: `${error.name}: ${error.message.slice(0, 200)}`, place };
}
