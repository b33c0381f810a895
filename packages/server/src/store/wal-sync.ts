import { open, type FileHandle } from 'node:fs/promises';

/**
 * Makes commits durable. SQLite writes them to the write-ahead log in order and leaves the disk to this: one
 * synchronisation serves every commit before it, and waiting for it blocks nobody. That is as durable as
 * `synchronous = full`, provided that nobody is told of a commit before {@link durable} has resolved.
 */
export class WalSync {
  readonly #file: FileHandle;
  #written = 0;
  #synced = 0;
  #running: { readonly through: number; readonly done: Promise<void> } | undefined;
  #next: Promise<void> | undefined;
  #failure: unknown;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens the write-ahead log of a database that is open. */
  static async open(databaseFile: string): Promise<WalSync> {
    return new WalSync(await open(`${databaseFile}-wal`, 'r+'));
  }

  /** Notes a commit that has changed something. */
  committed(): void {
    this.#written += 1;
  }

  /**
   * Resolves when every commit so far is on the disk. Once a synchronisation has failed it is not known what the disk
   * holds, and this rejects for ever with that error.
   */
  async durable(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#written === this.#synced) return undefined;
    const running = this.#running;
    if (running === undefined) return this.#sync();
    if (this.#written === running.through) return running.done;
    this.#next ??= running.done.then(() => this.#sync());
    return this.#next;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #sync(): Promise<void> {
    this.#next = undefined;
    const through = this.#written;
    const done = this.#attempt(through);
    this.#running = { through, done };
    return done;
  }

  async #attempt(through: number): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.#synced = through;
    this.#running = undefined;
  }
}
