import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { RegisteredParticipant, RegisteredToken, Registry, Standing } from '../ports.js';
import { atCommit } from '../store/after-commit.js';
import {
  deleteParticipant,
  insertParticipant,
  selectParticipant,
  selectParticipants,
  updateParticipant,
} from '../store/participants.js';
import type { ParticipantRow } from '../store/schema.js';
import type { Store, Transaction } from '../store/store.js';
import { deleteTokens, putToken, selectTokens } from '../store/tokens.js';
import { fromParticipantRow, fromTokenRow, toBase64, toTokenRow } from './rows.js';
import { standingOf } from './standing.js';

/** What the registry works with. */
export interface RegistryDependencies {
  readonly clock: Clock;
  readonly policy: Policy;
}

type Listener = (name: string, participant: RegisteredParticipant | undefined) => void;

/** The registry: everything in memory for decisions without I/O, written through to the store; memory follows each commit at once. */
export class ParticipantRegistry implements Registry {
  readonly #participants = new Map<string, RegisteredParticipant>();
  /** The last yes about a participant as it is: until its proof expires, only a change can make it a no. */
  readonly #admissible = new WeakMap<RegisteredParticipant, Standing>();
  readonly #listeners = new Set<Listener>();
  readonly #clock: Clock;
  readonly #policy: Policy;

  private constructor({ clock, policy }: RegistryDependencies) {
    this.#clock = clock;
    this.#policy = policy;
  }

  /** Loads the registry from the store. Nobody is connected, and the tokens still have to be appraised anew. */
  static async load(store: Store, dependencies: RegistryDependencies): Promise<ParticipantRegistry> {
    const registry = new ParticipantRegistry(dependencies);
    const [participants, tokens] = await store.transaction(async (tx) => [
      await selectParticipants(tx),
      await selectTokens(tx),
    ]);
    const held = new Map<string, RegisteredToken[]>();
    for (const row of tokens) {
      held.set(row.participant, [...(held.get(row.participant) ?? []), fromTokenRow(row)]);
    }
    for (const row of participants) {
      registry.#participants.set(row.name, fromParticipantRow(row, held.get(row.name) ?? []));
    }
    return registry;
  }

  all(): readonly RegisteredParticipant[] {
    return [...this.#participants.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): RegisteredParticipant | undefined {
    return this.#participants.get(name);
  }

  standing(name: string): Standing {
    const participant = this.#participants.get(name);
    if (participant === undefined) {
      return {
        admissible: false,
        exempt: false,
        reasons: [reason('PARTICIPANT_UNKNOWN', { participant: name })],
      };
    }
    const at = this.#clock.now();
    const known = this.#admissible.get(participant);
    if (known !== undefined && (known.expiresAt === undefined || at < known.expiresAt)) return known;
    const standing = standingOf(participant, { policy: this.#policy, at });
    if (standing.admissible) this.#admissible.set(participant, standing);
    return standing;
  }

  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async invite(tx: Transaction, name: string): Promise<void> {
    const invited = { name, role: 'site', invited_at: this.#clock.now().getTime() } as const;
    if (await insertParticipant(tx, invited)) await this.#reload(tx, name);
  }

  async enroll(tx: Transaction, name: string, publicKey: Uint8Array): Promise<void> {
    const row = await required(tx, name);
    const key = toBase64(publicKey);
    await this.#change(tx, name, { public_key: key, enrolled_at: this.#clock.now().getTime() });
    if (row.public_key !== key) await deleteTokens(tx, name);
    await this.#reload(tx, name, row.public_key === key ? undefined : []);
  }

  /** Makes the server itself a participant, under its key. Its name must not be a site's. Errors: ARGUMENT_INVALID. */
  async enrollServer(tx: Transaction, name: string, publicKey: Uint8Array): Promise<void> {
    await insertParticipant(tx, { name, role: 'server', invited_at: this.#clock.now().getTime() });
    const { role } = await required(tx, name);
    if (role !== 'server') {
      throw refusal('ARGUMENT_INVALID', {
        message: `A site has the server's name ${name}.`,
        participant: name,
      });
    }
    await this.enroll(tx, name, publicKey);
  }

  async quarantine(tx: Transaction, name: string, reasons: readonly Reason[]): Promise<boolean> {
    const { quarantine } = await required(tx, name);
    if (quarantine !== null) return false;
    await this.#change(tx, name, { quarantine: JSON.stringify(reasons) });
    await this.#reload(tx, name);
    return true;
  }

  async readmit(tx: Transaction, name: string): Promise<boolean> {
    const { quarantine } = await required(tx, name);
    if (quarantine === null) return false;
    await this.#change(tx, name, { quarantine: null, last_reasons: '[]' });
    await deleteTokens(tx, name);
    await this.#reload(tx, name, []);
    return true;
  }

  async remove(tx: Transaction, name: string): Promise<void> {
    const { role } = await required(tx, name);
    if (role === 'server') throw refusal('ARGUMENT_INVALID', { message: 'The server cannot be removed.' });
    await deleteParticipant(tx, name, this.#clock.now().getTime());
    atCommit(tx, () => {
      this.#participants.delete(name);
      this.#tell(name, undefined);
    });
  }

  /**
   * Puts verified tokens in the place of those held, with what is known to be wrong; in a session, under its epoch.
   * Errors: PARTICIPANT_UNKNOWN, SESSION_FENCED.
   */
  async setTokens(
    tx: Transaction,
    name: string,
    tokens: readonly RegisteredToken[],
    reasons: readonly Reason[],
    epoch?: number,
  ): Promise<void> {
    const row = await this.#setReasons(tx, name, reasons, epoch);
    const held = this.#participants.get(name)?.tokens ?? [];
    const isKept = ({ namespace }: RegisteredToken): boolean =>
      tokens.some((token) => token.namespace === namespace);
    if (!held.every(isKept)) await deleteTokens(tx, name);
    for (const token of tokens) await putToken(tx, toTokenRow(name, token));
    this.#follow(tx, row, tokens);
  }

  /** Records that a participant has left in order: its tokens are deleted. Errors: PARTICIPANT_UNKNOWN. */
  async leave(tx: Transaction, name: string): Promise<void> {
    await this.#change(tx, name, { boot_id: null, last_reasons: '[]' });
    await deleteTokens(tx, name);
    await this.#reload(tx, name, []);
  }

  /**
   * Records what was wrong and leaves the tokens as they are; in a session, under its epoch.
   * Errors: PARTICIPANT_UNKNOWN, SESSION_FENCED.
   */
  async setReasons(tx: Transaction, name: string, reasons: readonly Reason[], epoch?: number): Promise<void> {
    this.#follow(tx, await this.#setReasons(tx, name, reasons, epoch));
  }

  /** Records a new session under a new epoch. Errors: PARTICIPANT_UNKNOWN. */
  async openSession(
    tx: Transaction,
    name: string,
    session: { readonly epoch: number; readonly bootId: string; readonly agentVersion: string },
  ): Promise<void> {
    const { epoch, bootId, agentVersion } = session;
    const seen = this.#clock.now().getTime();
    await this.#change(tx, name, { epoch, boot_id: bootId, agent_version: agentVersion, last_seen_at: seen });
    await this.#reload(tx, name, undefined, { connected: true, silent: false });
  }

  /** Records in memory whether a participant is connected, silent, and when it was seen. Unknown names are ignored. */
  setLiveness(
    name: string,
    liveness: Partial<Pick<RegisteredParticipant, 'connected' | 'silent' | 'lastSeenAt'>>,
  ): void {
    const participant = this.#participants.get(name);
    if (participant === undefined) return;
    const next = { ...participant, ...liveness };
    this.#participants.set(name, next);
    const changed = next.connected !== participant.connected || next.silent !== participant.silent;
    const standing = this.#admissible.get(participant);
    if (changed) this.#tell(name, next);
    else if (standing !== undefined) this.#admissible.set(next, standing);
  }

  async #change(
    tx: Transaction,
    name: string,
    change: Parameters<typeof updateParticipant>[2],
  ): Promise<void> {
    if (!(await updateParticipant(tx, name, change))) {
      throw refusal('PARTICIPANT_UNKNOWN', { participant: name });
    }
  }

  /** Writes what was wrong unless the store says so already, and returns the participant's row as it is then. */
  async #setReasons(
    tx: Transaction,
    name: string,
    reasons: readonly Reason[],
    epoch: number | undefined,
  ): Promise<ParticipantRow> {
    const row = await required(tx, name);
    if (epoch !== undefined && row.epoch !== epoch) throw refusal('SESSION_FENCED', { participant: name });
    const last_reasons = JSON.stringify(reasons);
    if (row.last_reasons !== last_reasons) await this.#change(tx, name, { last_reasons });
    return { ...row, last_reasons };
  }

  async #reload(
    tx: Transaction,
    name: string,
    tokens?: readonly RegisteredToken[],
    liveness?: Pick<RegisteredParticipant, 'connected' | 'silent'>,
  ): Promise<void> {
    this.#follow(tx, await required(tx, name), tokens, liveness);
  }

  /** Takes a participant's row into memory after the commit; liveness stays what it is there, unless it is given. */
  #follow(
    tx: Transaction,
    row: ParticipantRow,
    tokens?: readonly RegisteredToken[],
    liveness?: Pick<RegisteredParticipant, 'connected' | 'silent'>,
  ): void {
    const { name } = row;
    atCommit(tx, () => {
      const held = this.#participants.get(name);
      const { connected = false, silent = false, lastSeenAt } = held ?? {};
      const next: RegisteredParticipant = {
        ...fromParticipantRow(row, tokens ?? held?.tokens ?? []),
        ...(lastSeenAt !== undefined && { lastSeenAt }),
        connected,
        silent,
        ...liveness,
      };
      this.#participants.set(name, next);
      this.#tell(name, next);
    });
  }

  #tell(name: string, participant: RegisteredParticipant | undefined): void {
    for (const listener of this.#listeners) listener(name, participant);
  }
}

async function required(tx: Transaction, name: string): Promise<ParticipantRow> {
  const row = await selectParticipant(tx, name);
  if (row === undefined) throw refusal('PARTICIPANT_UNKNOWN', { participant: name });
  return row;
}
