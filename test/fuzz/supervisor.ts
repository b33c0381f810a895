import { fork } from 'node:child_process';
import { BlackBox } from './black-box.js';
import type { Fault } from './judge.js';
import type { Input } from './target.js';
import type { Figures, Order, Report } from './worker.js';

/** How long one input may take before its process is ended, ms. */
const hangMs = 20_000;
/** How long the keys of simulated devices may take on a busy machine, ms. */
const startMs = 180_000;
const maxHeapMb = 1_024;

/** What running a target came to. */
export interface Outcome {
  readonly figures: Figures;
  readonly findings: readonly { readonly fault: Fault; readonly input: Input }[];
}

const noFigures: Figures = { runs: 0, seedBlocks: 0, newBlocks: 0, slowestMs: 0, slowestBytes: 0 };

/** Fuzzes a target in a process of its own. A slow input counts when it is slow again in another one. */
export async function supervise(order: Omit<Order, 'box'>): Promise<Outcome> {
  const { figures, findings } = await run(order);
  const confirmed = [];
  for (const finding of findings) {
    if (finding.fault.kind === 'slow')
      confirmed.push(...(await replay(order.target, finding.input)).findings);
    else confirmed.push(finding);
  }
  return { figures, findings: confirmed };
}

/** Gives a target one input. */
export function replay(target: string, input: Input): Promise<Outcome> {
  return run({ target, seed: 0, ms: 0 }, input);
}

/** Ends the process where one input keeps it from going on, or takes all its memory: that input is a finding. */
async function run(order: Omit<Order, 'box'>, only?: Input): Promise<Outcome> {
  const box = new BlackBox();
  if (only !== undefined) box.note(only);
  const findings: { fault: Fault; input: Input }[] = [];
  let figures: Figures | undefined;
  const child = fork(new URL('worker.js', import.meta.url), [JSON.stringify({ ...order, box: box.file })], {
    execArgv: ['--expose-gc', `--max-old-space-size=${maxHeapMb}`],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2_000)));
  child.on('message', (report: Report) => {
    if (report.type === 'end') figures = report.figures;
    else findings.push(report);
  });
  let [turn, since] = [0, performance.now()];
  const watch = setInterval(() => {
    const now = box.turn;
    if (now !== turn || figures !== undefined) [turn, since] = [now, performance.now()];
    else if (performance.now() - since > (turn === 0 ? startMs : hangMs)) child.kill('SIGKILL');
  }, 1_000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('exit', (...how) => resolve(how)),
  );
  clearInterval(watch);
  const [runs, last] = [box.turn, box.read()];
  box.close();
  if (code !== 0) {
    const isHang = signal === 'SIGKILL';
    const problem = /^.*(?:Error|Fatal|FATAL).*$/m.exec(said)?.[0] ?? '';
    const detail = isHang ? `went on for ${hangMs} ms` : `ended with ${signal ?? code}: ${problem}`;
    findings.push({ fault: { kind: isHang ? 'hang' : 'crash', detail }, input: last });
  }
  return { figures: figures ?? { ...noFigures, runs }, findings };
}
