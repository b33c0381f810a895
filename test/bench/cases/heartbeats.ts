import { FramedStream } from '../framed-stream.js';
import { openFleet } from '../fleet.js';
import { compare, pooled, type Figure } from '../measure.js';
import { startWorker } from '../worker.js';
import type { Case } from './case.js';

/** As long as a heartbeat. */
const heartbeatBytes = 40;
/** How many heartbeats are under way at the same time. */
const width = 64;

/** CPU of the server per heartbeat and acknowledgement, and memory per idle session, against bare node:http2. */
export const heartbeats: Case = async ({ federation, quick }) => {
  const [size, beats, rounds] = quick ? [200, 4_000, 3] : [1_000, 10_000, 5];
  const yardstick = startWorker('http2');
  const port = await yardstick.ask<number>('start', federation.server.tls);
  const bareBefore = await yardstick.usage(true);
  const bare = federation.sites.slice(0, size).map(({ tls }) => new BareSession(port, tls));
  await pooled(bare, 32, (session) => session.beat());
  const bareAfter = await yardstick.usage(true);

  const fleet = await openFleet(federation, { namespace: 'x-a', size: 1 });
  const musterBefore = await fleet.server.usage(true);
  await fleet.close();
  const full = await openFleet(federation, { namespace: 'x-a', size });
  try {
    const musterAfter = await full.server.usage(true);
    const turns = <T>(sessions: readonly T[]): readonly T[] =>
      Array.from({ length: beats }, (_, index) => sessions[index % sessions.length] as T);
    const perBeat = await compare(
      rounds,
      async () =>
        (await full.server.cpuOf(() => pooled(turns(full.sites), width, (site) => site.beat()))) / beats,
      async () =>
        (await yardstick.cpuOf(() => pooled(turns(bare), width, (session) => session.beat()))) / beats,
    );
    const perSession = (before: { rssBytes: number }, after: { rssBytes: number }): number =>
      (after.rssBytes - before.rssBytes) / size / 1024;
    const memory = perSession(musterBefore, musterAfter);
    const bareMemory = perSession(bareBefore, bareAfter);
    const figures: readonly Figure[] = [
      {
        name: `server CPU per heartbeat over mTLS, ${size} sessions`,
        unit: 'µs',
        muster: perBeat.muster,
        yardstick: { name: 'node:http2', value: perBeat.yardstick, ratio: perBeat.ratio },
        aim: { is: 'at most', value: 1.6 },
      },
      {
        name: `memory per idle mTLS session, ${size} sessions`,
        unit: 'KiB',
        muster: memory,
        yardstick: { name: 'node:http2', value: bareMemory, ratio: memory / bareMemory },
        aim: { is: 'at most', value: 1.15 },
      },
    ];
    return figures;
  } finally {
    for (const session of bare) session.close();
    await Promise.all([full.close(), yardstick.kill()]);
  }
};

/** A session with the yardstick: as many bytes on the same stream, and no meaning. */
class BareSession {
  readonly #stream: FramedStream;
  #answered = (): void => undefined;

  constructor(port: number, tls: ConstructorParameters<typeof FramedStream>[1]) {
    this.#stream = new FramedStream(port, tls, {
      path: '/',
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
