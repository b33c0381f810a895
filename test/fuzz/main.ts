import { resolve } from 'node:path';
import { readFinding, writeFinding } from './finding.js';
import { replay, supervise } from './supervisor.js';
import { targets } from './targets/all.js';

/** Fuzzes every target, one after the other: [seconds for each] [seed] [names of targets, or a file to replay]. */
const [seconds = '30', seedText = '', only = ''] = process.argv.slice(2);
const seed = Number(seedText || Date.now() % 1_000_000);
const findingsFolder = resolve(import.meta.dirname, '../../fuzz/findings');

async function replayFile(file: string): Promise<void> {
  const { target, input } = readFinding(file);
  const { figures, findings } = await replay(target, input);
  const [finding] = findings;
  process.stdout.write(
    `${target}: ${finding === undefined ? 'no finding' : `${finding.fault.kind}: ${finding.fault.detail}`}, ${Math.round(figures.slowestMs)} ms\n`,
  );
  if (finding !== undefined) process.exitCode = 1;
}

async function fuzzAll(): Promise<void> {
  const wanted = only === '' ? targets : targets.filter(({ name }) => only.split(',').includes(name));
  process.stdout.write(`${wanted.length} targets, ${seconds} s each, seed ${seed}\n`);
  row(['target', 'runs', 'blocks of seeds', 'new', 'slowest input', 'findings']);
  for (const { name } of wanted) {
    const { figures, findings } = await supervise({ target: name, seed, ms: Number(seconds) * 1000 });
    const { runs, seedBlocks, newBlocks, slowestMs, slowestBytes } = figures;
    const slowest = `${slowestMs.toFixed(1)} ms (${slowestBytes} bytes)`;
    row([name, `${runs}`, `${seedBlocks}`, `${newBlocks}`, slowest, `${findings.length}`]);
    for (const { fault, input } of findings) {
      const file = writeFinding(findingsFolder, { target: name, fault, input });
      process.stdout.write(`  ${fault.kind}: ${fault.detail} ${fault.place ?? ''}\n  ${file}\n`);
      process.exitCode = 1;
    }
  }
}

function row(cells: readonly string[]): void {
  const widths = [28, 9, 16, 6, 26, 8];
  process.stdout.write(
    `${cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' ')
      .trimEnd()}\n`,
  );
}

await (only.endsWith('.json') ? replayFile(only) : fuzzAll());
