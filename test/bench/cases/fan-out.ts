import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { openFleet } from '../fleet.js';
import { median, pooled, quantile, type Figure } from '../measure.js';
import type { SimulatedSite } from '../site.js';
import { startWorker, type Worker } from '../worker.js';
import type { Bench, Case } from './case.js';
import { refreshesPerSecond } from './refreshes.js';

/** The sites of a job. */
const jobSize = 100;
/** As long as a stop command. */
const stopBytes = 120;
const patienceMs = 30_000;
/** How long the verification has run when the stop comes, ms. */
const warmMs = 2_000;

/** Stops to every session at once, while SNP evidence is verified at half of what the server can do. */
export const fanOut: Case = async (bench) => {
  const sizes = bench.quick ? [300] : [1_000, 5_000];
  const figures: Figure[] = [];
  for (const size of sizes) figures.push(...(await measure(bench, size)));
  return figures;
};

async function measure({ federation, quick }: Bench, size: number): Promise<readonly Figure[]> {
  const fleet = await openFleet(federation, { namespace: 'x-snp', size });
  const yardstick = startWorker('tcp');
  const listeners = await listen(yardstick, size);
  try {
    const { server, sites } = fleet;
    const capacity = await refreshesPerSecond(fleet, quick ? 300 : 1_000);
    const [stops, broadcasts, loops]: [number[][], number[][], number[]] = [[], [], []];
    for (let round = 0; round < (quick ? 1 : 3); round += 1) {
      for (let first = 0; first < size; first += jobSize) {
        const participants = sites.slice(first, first + jobSize).map(({ member }) => member.name);
        await server.ask('admit', { id: `job-${round}-${first}`, participants });
      }
      await server.ask('startLoad', capacity / 2);
      await delay(warmMs);
      await server.loopDelay();
      stops.push(await stopAll(server, sites));
      await delay(warmMs);
      loops.push((await server.loopDelay()).p99Ms);
      await server.ask('stopLoad');
      await delay(500);
      broadcasts.push(await broadcast(yardstick, listeners));
    }
    const at = (rounds: readonly number[][], part: number): number =>
      median(rounds.map((latencies) => quantile(latencies, part)));
    const compared = (part: number): Pick<Figure, 'unit' | 'muster' | 'yardstick'> => ({
      unit: 'ms',
      muster: at(stops, part),
      yardstick: {
        name: 'TCP broadcast',
        value: at(broadcasts, part),
        ratio: at(stops, part) / at(broadcasts, part),
      },
    });
    const name = `to ${size} sessions, verifying ${Math.round(capacity / 2)} SNP reports/s`;
    return [
      { name: `stop p50 ${name}`, ...compared(0.5) },
      {
        name: `stop p99 ${name}`,
        ...compared(0.99),
        aim: { is: 'at most', value: size > 1_000 ? 200 : 60, of: 'figure' },
      },
      {
        name: `event-loop delay p99 under that load, ${size} sessions`,
        unit: 'ms',
        muster: median(loops),
        aim: { is: 'at most', value: 25, of: 'figure' },
      },
    ];
  } finally {
    for (const listener of listeners) listener.socket.destroy();
    await Promise.all([fleet.close(), yardstick.kill()]);
  }
}

/** Takes permission back from every job; returns how long each site waited for its stop, ms. */
async function stopAll(server: Worker, sites: readonly SimulatedSite[]): Promise<number[]> {
  for (const site of sites) site.stoppedAt = 0;
  const began = performance.now();
  await server.ask('stopAll');
  await arrived(() => sites.every(({ stoppedAt }) => stoppedAt > 0));
  return sites.map(({ stoppedAt }) => stoppedAt - began);
}

interface Listener {
  readonly socket: Socket;
  heardAt: number;
}

async function listen(worker: Worker, size: number): Promise<readonly Listener[]> {
  const port = await worker.ask<number>('start');
  const listeners = Array.from({ length: size }, (): Listener => {
    const socket = connect(port, '127.0.0.1');
    const listener = { socket, heardAt: 0 };
    socket.on('data', () => {
      listener.heardAt = performance.now();
    });
    return listener;
  });
  await pooled(listeners, 64, async ({ socket }) => {
    if (socket.connecting) await new Promise((resolve) => socket.once('connect', resolve));
  });
  return listeners;
}

async function broadcast(worker: Worker, listeners: readonly Listener[]): Promise<number[]> {
  for (const listener of listeners) listener.heardAt = 0;
  const began = performance.now();
  await worker.ask('broadcast', stopBytes);
  await arrived(() => listeners.every(({ heardAt }) => heardAt > 0));
  return listeners.map(({ heardAt }) => heardAt - began);
}

async function arrived(holds: () => boolean): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error('a stop did not arrive');
    await delay(20);
  }
}
