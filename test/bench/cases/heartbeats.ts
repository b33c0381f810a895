import type { BenchFederation } from '../federation.js';
import { FramedStream } from '../framed-stream.js';
import { openFleet } from '../fleet.js';
import { compare, pooled, type Figure } from '../measure.js';
import { startWorker, type Worker } from '../worker.js';
import type { Case } from './case.js';

/** As long as a heartbeat. */
const heartbeatBytes = 40;
/** How many heartbeats are under way at the same time. */
const width = 64;
const [cpuAim, memoryAim] = [1.6, 1.15];

/**
 * CPU of the server per heartbeat and acknowledgement, and memory per idle session: against bare node:http2, which the
 * aims are about, and against plain grpc-js, below which a gRPC server in Node cannot go.
 */
export const heartbeats: Case = async ({ federation, quick }) => {
  const [size, beats, rounds] = quick ? [200, 4_000, 3] : [1_000, 10_000, 5];
  const muster = await openMuster(federation, size);
  const http2 = await openYardstick('http2', federation, size);
  const grpc = await openYardstick('grpc', federation, size);
  const perBeat = async ({ server, sessions }: Sessions): Promise<number> => {
    const turns = Array.from({ length: beats }, (_, index) => sessions[index % size] as Beating);
    return (await server.cpuOf(() => pooled(turns, width, (session) => session.beat()))) / beats;
  };
  const measure = async (name: string, yardstick: Sessions): Promise<{ cpu: Figure; memory: Figure }> => {
    const cpu = await compare(
      rounds,
      () => perBeat(muster),
      () => perBeat(yardstick),
    );
    return {
      cpu: {
        name: `server CPU per heartbeat over mTLS, ${size} sessions`,
        unit: 'µs',
        muster: cpu.muster,
        yardstick: { name, value: cpu.yardstick, ratio: cpu.ratio },
      },
      memory: {
        name: `memory per idle mTLS session, ${size} sessions`,
        unit: 'KiB',
        muster: muster.memoryKib,
        yardstick: { name, value: yardstick.memoryKib, ratio: muster.memoryKib / yardstick.memoryKib },
      },
    };
  };
  try {
    const [bare, plain] = [await measure('node:http2', http2), await measure('grpc-js', grpc)];
    return [
      { ...bare.cpu, aim: { is: 'at most', value: cpuAim } },
      plain.cpu,
      { ...bare.memory, aim: { is: 'at most', value: memoryAim } },
      plain.memory,
    ];
  } finally {
    await Promise.all([muster, http2, grpc].map((sessions) => sessions.close()));
  }
};

/** What sends a heartbeat and waits for its acknowledgement. */
interface Beating {
  beat(): Promise<void>;
}

/** A server with idle sessions. */
interface Sessions {
  readonly server: Worker;
  readonly sessions: readonly Beating[];
  /** What each session adds to the memory of the server. */
  readonly memoryKib: number;
  close(): Promise<void>;
}

async function openMuster(federation: BenchFederation, size: number): Promise<Sessions> {
  const first = await openFleet(federation, { namespace: 'x-a', size: 1 });
  const { rssBytes: before } = await first.server.usage(true);
  await first.close();
  const fleet = await openFleet(federation, { namespace: 'x-a', size });
  const { rssBytes: after } = await fleet.server.usage(true);
  return { ...fleet, sessions: fleet.sites, memoryKib: (after - before) / size / 1024 };
}

async function openYardstick(
  program: 'http2' | 'grpc',
  federation: BenchFederation,
  size: number,
): Promise<Sessions> {
  const server = startWorker(program);
  const port = await server.ask<number>('start', federation.server.tls);
  const { rssBytes: before } = await server.usage(true);
  const sessions = federation.sites.slice(0, size).map(({ tls }) => new BareSession(port, tls));
  await pooled(sessions, 32, (session) => session.beat());
  const { rssBytes: after } = await server.usage(true);
  return {
    server,
    sessions,
    memoryKib: (after - before) / size / 1024,
    close: async () => {
      for (const session of sessions) session.close();
      await server.kill();
    },
  };
}

/** A session with a yardstick: as many bytes on the same stream, and no meaning. */
class BareSession implements Beating {
  readonly #stream: FramedStream;
  #answered = (): void => undefined;

  constructor(port: number, tls: ConstructorParameters<typeof FramedStream>[1]) {
    this.#stream = new FramedStream(port, tls, {
      path: '/muster.v1.AgentService/Session',
      onMessage: () => this.#answered(),
      onClose: () => undefined,
    });
  }

  beat(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#stream.send(Buffer.alloc(heartbeatBytes));
    });
  }

  close(): void {
    this.#stream.close();
  }
}
