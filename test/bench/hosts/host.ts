import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { watchTurns, type LongestTurn } from './turns.js';

/** What a process under test has used. */
export interface Usage {
  /** CPU time of all its threads since it began, µs. */
  readonly cpuUs: number;
  /** Resident memory after garbage collection, bytes. */
  readonly rssBytes: number;
}

/** How late the event loop was since it was last asked, ms. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What a driver may ask of a process under test, by name. */
export type Commands = Readonly<Record<string, (argument: never) => unknown>>;

const resolutionMs = 1;

/**
 * Serves a driver over the channel of `fork`: the side channel by which it learns what this process uses. Beside the
 * given commands there are `usage`, `loopDelay`, `watchTurns` and `longestTurn`.
 */
export function serveDriver(commands: Commands): void {
  const delays = monitorEventLoopDelay({ resolution: resolutionMs });
  delays.enable();
  let longestTurn = (): LongestTurn | undefined => undefined;
  const all: Commands = {
    ...commands,
    usage: measureUsage,
    loopDelay: async (): Promise<LoopDelay> => {
      // What delayed this call itself is recorded only when the next timers run.
      await delay(5 * resolutionMs);
      const [p99Ms, maxMs] = [delays.percentile(99) / 1e6, delays.max / 1e6];
      delays.reset();
      return { p99Ms, maxMs };
    },
    watchTurns: () => {
      longestTurn = watchTurns();
    },
    longestTurn: () => longestTurn(),
  };
  process.on('message', (message: { id: number; name: string; argument: never }) => {
    const run = async (): Promise<unknown> => all[message.name]?.(message.argument);
    run().then(
      (result) => process.send?.({ id: message.id, result }),
      (error: unknown) => process.send?.({ id: message.id, error: (error as Error).stack }),
    );
  });
  process.on('disconnect', () => process.exit());
}

/** Measures without a collection: collecting garbage would count as CPU time of what is measured. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function measureUsage(settled: boolean): Promise<Usage> {
  if (settled) {
    const { gc } = globalThis as { gc?: () => void };
    for (let round = 0; round < 3; round += 1) {
      gc?.();
      await delay(100);
    }
  }
  return { cpuUs: cpuUs(), rssBytes: process.memoryUsage.rss() };
}
