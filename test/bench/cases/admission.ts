import { connect, type ClientHttp2Session } from 'node:http2';
import { openFleet } from '../fleet.js';
import type { Member } from '../federation.js';
import { compare, pooled, type Figure } from '../measure.js';
import type { Case } from './case.js';

const participants = 100;
const width = 16;

/** The server's own decision on a job of 100 participants: in memory, and over gRPC against a call that decides nothing. */
export const admission: Case = async ({ federation, quick }) => {
  const [decisions, calls, rounds] = quick ? [5_000, 500, 3] : [50_000, 2_000, 5];
  const fleet = await openFleet(federation, { namespace: 'x-a', size: participants });
  const client = new UnaryClient(fleet.options.port, federation.operator);
  try {
    const { server, sites } = fleet;
    const names = sites.map(({ member }) => member.name);
    const decide = (times: number): Promise<unknown> => server.ask('decide', { participants: names, times });
    await decide(decisions / 10);
    const inMemory = decisions / ((await server.cpuOf(() => decide(decisions))) / 1e6);
    const turns = Array.from({ length: calls });
    const callsPerCpuSecond = async (method: string): Promise<number> =>
      calls / ((await server.cpuOf(() => pooled(turns, width, () => client.call(method)))) / 1e6);
    const system = '/muster.v1.SystemService';
    await callsPerCpuSecond(`${system}/GetKeys`);
    const overGrpc = await compare(
      rounds,
      () => callsPerCpuSecond(`${system}/GetKeys`),
      () => callsPerCpuSecond(`${system}/GetStatus`),
    );
    const jobs = quick ? 2 : 5;
    const perJob = await server.cpuOf(async () => {
      for (let job = 0; job < jobs; job += 1) {
        await server.ask('admit', { id: `admission-${job}`, participants: names });
      }
    });
    const figures: readonly Figure[] = [
      {
        name: `decisions on ${participants} participants per CPU-second, in memory`,
        unit: '/s',
        muster: inMemory,
        aim: { is: 'at least', value: 20_000, of: 'figure' },
      },
      {
        name: 'the same over gRPC with mTLS',
        unit: '/s',
        muster: overGrpc.muster,
        yardstick: { name: 'empty unary call', value: overGrpc.yardstick, ratio: overGrpc.ratio },
        aim: { is: 'at least', value: 0.8 },
      },
      {
        name: `server CPU to admit a job, durably, with the answers of ${participants} sites`,
        unit: 'ms',
        muster: perJob / jobs / 1000,
      },
    ];
    return figures;
  } finally {
    client.close();
    await fleet.close();
  }
};

/** Unary calls with empty requests on one connection. */
class UnaryClient {
  readonly #session: ClientHttp2Session;

  constructor(port: number, { tls }: Member) {
    this.#session = connect(`https://127.0.0.1:${port}`, {
      key: tls.key,
      cert: tls.chain,
      ca: tls.bundle,
      checkServerIdentity: () => undefined,
    });
  }

  call(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const settle = (headers: Record<string, unknown>): void => {
        if (headers['grpc-status'] === undefined) return;
        if (headers['grpc-status'] === '0') resolve();
        else reject(new Error(`${path}: ${String(headers['grpc-message'])}`));
      };
      stream.on('response', settle);
      stream.on('trailers', settle);
      stream.on('error', reject);
      stream.resume();
      stream.end(Buffer.alloc(5));
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
