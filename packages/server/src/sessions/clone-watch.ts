import type { Hello } from '@muster/shared/gen/muster/v1/agent.js';

/** How many earlier processes of a participant are remembered. */
const maxEarlier = 16;

interface Known {
  readonly bootId: string;
  readonly earlier: readonly string[];
  /** The latest epoch whose holder has shown that it knows it. */
  readonly provenEpoch: number;
}

/**
 * Tells a cloned virtual machine from a restarted one. A process that was replaced never comes back, and one that has
 * used a session never forgets its epoch; where either seems to happen, two processes use one identity.
 */
export class CloneWatch {
  readonly #known = new Map<string, Known>();

  /** Notes the process of a participant's latest session with an earlier process of this server. */
  remember(participant: string, bootId: string): void {
    this.#known.set(participant, { bootId, earlier: [], provenEpoch: 0 });
  }

  /** Whether a Hello betrays a second process of the same participant. */
  greets(participant: string, { bootId, lastEpoch }: Pick<Hello, 'bootId' | 'lastEpoch'>): boolean {
    const known = this.#known.get(participant);
    if (known === undefined || known.bootId === bootId) {
      this.#known.set(participant, known ?? { bootId, earlier: [], provenEpoch: 0 });
      return known !== undefined && Number(lastEpoch) < known.provenEpoch;
    }
    const earlier = [known.bootId, ...known.earlier].slice(0, maxEarlier);
    this.#known.set(participant, { bootId, earlier, provenEpoch: 0 });
    return known.earlier.includes(bootId);
  }

  /** Notes that the agent uses the session of this epoch. */
  uses(participant: string, epoch: number): void {
    const known = this.#known.get(participant);
    if (known !== undefined && known.provenEpoch < epoch) {
      this.#known.set(participant, { ...known, provenEpoch: epoch });
    }
  }

  forget(participant: string): void {
    this.#known.delete(participant);
  }
}
