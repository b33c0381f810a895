import { connect, createServer, type Server, type Socket } from 'node:net';

/** `up` is from the agent to the server. */
export type Direction = 'up' | 'down';
const both: readonly Direction[] = ['up', 'down'];

/** Seconds are too long for a test and microseconds too short to be seen: how long a chunk is held on a lossy way, ms. */
const longestRetransmissionMs = 400;
/** The share of chunks that a lossy way holds, and of those at which the connection breaks. */
const lossy = { held: 0.3, broken: 0.02 } as const;

/** One connection of a way, to be disturbed alone. */
export interface Connection {
  /** Breaks it; what was under way is lost. */
  destroy(): void;
}

/** What a way does to its next connection. */
interface Ambush {
  readonly delayMs: Readonly<Record<Direction, number>>;
  readonly caught: (connection: Connection) => void;
}

const noDelay: Readonly<Record<Direction, number>> = { up: 0, down: 0 };

/** One TCP connection through a way: two sockets, and what is under way between them. */
class Passage implements Connection {
  /** How long everything on it takes, beside what its way does, ms. */
  readonly delayMs: Readonly<Record<Direction, number>>;
  readonly #sockets: { readonly near: Socket; readonly far: Socket };
  readonly #queues: Record<Direction, Promise<void>> = { up: Promise.resolve(), down: Promise.resolve() };

  constructor(
    near: Socket,
    far: Socket,
    delayMs: Readonly<Record<Direction, number>>,
    beforePassing: (direction: Direction, passage: Passage) => Promise<void>,
  ) {
    this.#sockets = { near, far };
    this.delayMs = delayMs;
    for (const direction of both) {
      const [from, to] = direction === 'up' ? [near, far] : [far, near];
      const queue = (then: () => void): void => {
        this.#queues[direction] = this.#queues[direction]
          .then(() => beforePassing(direction, this))
          .then(then);
      };
      from.on('data', (chunk: Buffer) => queue(() => void (to.writable && to.write(chunk))));
      from.on('end', () => queue(() => void to.end()));
      from.on('error', () => from.destroy());
      from.on('close', () => queue(() => void to.destroy()));
    }
  }

  /** Ends one side's socket; the other side is told nothing while the way is cut. */
  end(side: 'near' | 'far'): void {
    this.#sockets[side].destroy();
  }

  /** Ends both sides; what was under way is lost. */
  destroy(): void {
    for (const socket of Object.values(this.#sockets)) socket.destroy();
  }

  pause(direction: Direction): void {
    this.#sockets[direction === 'up' ? 'near' : 'far'].pause();
  }

  resume(): void {
    for (const socket of Object.values(this.#sockets)) socket.resume();
  }
}

/** A way to the server over loopback whose faults a test decides. What it holds it still has: nothing gets lost by itself. */
export class Way {
  readonly #server: Server;
  readonly #passages = new Set<Passage>();
  readonly #held = new Set<Direction>();
  readonly #waiting = new Set<() => void>();
  #delayMs = 0;
  #random: (() => number) | undefined;
  #ambush: Ambush | undefined;

  private constructor(targetPort: number) {
    this.#server = createServer((near) => {
      const far = connect(targetPort, '127.0.0.1');
      const { delayMs = noDelay, caught } = this.#ambush ?? {};
      this.#ambush = undefined;
      const passage = new Passage(near, far, delayMs, (direction, own) =>
        this.#beforePassing(direction, own),
      );
      caught?.(passage);
      this.#passages.add(passage);
      for (const socket of [near, far]) socket.on('close', () => this.#passages.delete(passage));
    });
  }

  /** Opens a way to a port of the loopback address. */
  static async to(targetPort: number): Promise<Way> {
    const way = new Way(targetPort);
    await new Promise<void>((resolve) => way.#server.listen(0, '127.0.0.1', resolve));
    return way;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Lets nothing pass any more in the directions given, and tells nobody: a partition, one way or both. */
  hold(...directions: readonly Direction[]): void {
    for (const direction of directions.length === 0 ? both : directions) this.#held.add(direction);
  }

  /** Reads nothing more in a direction, so that the sender's buffers fill. */
  stopReading(direction: Direction): void {
    this.hold(direction);
    for (const passage of this.#passages) passage.pause(direction);
  }

  /** Delays everything by so many milliseconds, in order. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Delays everything in one direction on the next connection, and on no other. Resolves when it is made. */
  delayNext(direction: Direction, ms: number): Promise<Connection> {
    return new Promise((caught) => {
      this.#ambush = { delayMs: { ...noDelay, [direction]: ms }, caught };
    });
  }

  /** Loses segments, which TCP then sends again later, and breaks a connection now and then. */
  loseSegments(random: () => number): void {
    this.#random = random;
  }

  /** Ends the connections at one side only. The other side believes in them. */
  halfOpen(alive: 'agent' | 'server'): void {
    this.hold();
    for (const passage of this.#passages) passage.end(alive === 'agent' ? 'far' : 'near');
  }

  /** Breaks every connection; what was held is lost. */
  break(): void {
    for (const passage of this.#passages) passage.destroy();
    this.#passages.clear();
  }

  /** Ends every fault. What was held is delivered late, unless the connections were broken. */
  heal(): void {
    this.#held.clear();
    this.#delayMs = 0;
    this.#random = undefined;
    for (const passage of this.#passages) passage.resume();
    for (const release of this.#waiting) release();
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    this.heal();
    this.break();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #beforePassing(direction: Direction, passage: Passage): Promise<void> {
    const chance = this.#random?.() ?? 1;
    if (chance < lossy.broken) passage.destroy();
    const lateMs =
      this.#delayMs +
      passage.delayMs[direction] +
      (chance < lossy.held ? (this.#random?.() ?? 0) * longestRetransmissionMs : 0);
    if (lateMs > 0) await new Promise((resolve) => setTimeout(resolve, lateMs));
    while (this.#held.has(direction)) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }
}
