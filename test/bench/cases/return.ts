import { openFleet } from '../fleet.js';
import type { LongestTurn } from '../hosts/turns.js';
import { FramedStream } from '../framed-stream.js';
import type { Figure } from '../measure.js';
import { startWorker } from '../worker.js';
import type { Case } from './case.js';

/** How long sessions take to come back after a server was killed and started again, and what it costs the event loop. */
export const comeBack: Case = async ({ federation, quick }) => {
  const size = quick ? 300 : 1_000;
  const bare = await connectBare(federation, size);
  const fleet = await openFleet(federation, { namespace: 'x-snp', size });
  await fleet.server.kill();
  const opened = fleet.sites.map((site) => site.reopened());
  const server = startWorker('muster');
  try {
    const launched = performance.now();
    await server.ask('start', fleet.options);
    const serving = performance.now();
    await server.ask('watchTurns');
    const cpuUs = await server.cpuOf(() => Promise.all(opened));
    const elapsed = performance.now() - serving;
    const stall = await server.ask<LongestTurn>('longestTurn');
    const aim = { is: 'at most', value: 50, of: 'figure' } as const;
    const figures: readonly Figure[] = [
      { name: `start with ${size} proofs to appraise anew`, unit: 'ms', muster: serving - launched },
      {
        name: `${size} agents back after a restart`,
        unit: 'ms',
        muster: elapsed,
        yardstick: { name: 'node:http2, all at once', value: bare.elapsed, ratio: elapsed / bare.elapsed },
      },
      {
        name: 'server CPU for each of them',
        unit: 'ms',
        muster: cpuUs / size / 1000,
        yardstick: {
          name: 'node:http2',
          value: bare.cpuUs / size / 1000,
          ratio: cpuUs / bare.cpuUs,
        },
      },
      { name: 'longest stall of the event loop meanwhile', unit: 'ms', muster: stall.ms, aim },
      { name: 'the same, less what it waited for a core', unit: 'ms', muster: stall.onCoreMs, aim },
    ];
    return figures;
  } finally {
    for (const site of fleet.sites) site.close();
    await server.kill();
  }
};

async function connectBare(
  { server, sites }: Parameters<Case>[0]['federation'],
  size: number,
): Promise<{ readonly elapsed: number; readonly cpuUs: number }> {
  const worker = startWorker('http2');
  const port = await worker.ask<number>('start', server.tls);
  const began = performance.now();
  const streams: FramedStream[] = [];
  const open = ({ tls }: (typeof sites)[number]): Promise<void> =>
    new Promise((resolve) => {
      const stream = new FramedStream(port, tls, {
        path: '/',
        onMessage: () => resolve(),
        onClose: () => resolve(),
      });
      stream.send(Buffer.alloc(64));
      streams.push(stream);
    });
  const cpuUs = await worker.cpuOf(() => Promise.all(sites.slice(0, size).map(open)));
  const elapsed = performance.now() - began;
  for (const stream of streams) stream.close();
  await worker.kill();
  return { elapsed, cpuUs };
}
