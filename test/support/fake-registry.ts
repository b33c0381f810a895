import type { RegisteredParticipant, RegisteredToken, Registry, Standing } from '@muster/server/ports.js';
import type { Transaction } from '@muster/server/store/store.js';
import { refusal } from '@muster/shared/errors.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { createHash } from 'node:crypto';

type Listener = Parameters<Registry['watch']>[0];

/** A registry in which a test says who is admissible and why not. */
export class FakeRegistry implements Registry {
  readonly #participants = new Map<string, RegisteredParticipant>();
  readonly #refusals = new Map<string, readonly Reason[]>();
  readonly #listeners = new Set<Listener>();
  /** Called by every `standing`, for tests in which that fails. */
  onStanding: (name: string) => void = () => undefined;

  constructor(sites: readonly string[], server = 'server') {
    this.add(server, 'server');
    for (const site of sites) this.add(site, 'site');
  }

  /** Adds a participant that is proven and connected. */
  add(name: string, role: 'site' | 'server'): void {
    this.#change({
      name,
      role,
      enrolledAt: new Date(0),
      lastReasons: [],
      connected: role === 'site',
      silent: false,
      epoch: 1,
      agentVersion: '0.1.0',
      tokens: [token(name)],
    });
  }

  /** From now on the participant's standing is this; none means admissible. */
  refuse(name: string, ...reasons: readonly Reason[]): void {
    if (reasons.length === 0) this.#refusals.delete(name);
    else this.#refusals.set(name, reasons);
    this.update(name, { lastReasons: reasons });
  }

  update(name: string, change: Partial<RegisteredParticipant>): void {
    const known = this.#participants.get(name);
    if (known !== undefined) this.#change({ ...known, ...change });
  }

  all(): readonly RegisteredParticipant[] {
    return [...this.#participants.values()];
  }

  find(name: string): RegisteredParticipant | undefined {
    return this.#participants.get(name);
  }

  standing(name: string): Standing {
    this.onStanding(name);
    const participant = this.#participants.get(name);
    const unknown = participant === undefined ? [reason('PARTICIPANT_UNKNOWN', { participant: name })] : [];
    const barred = participant?.quarantine === undefined ? [] : [reason('PARTICIPANT_QUARANTINED')];
    const reasons = [...unknown, ...barred, ...(this.#refusals.get(name) ?? [])];
    return { admissible: reasons.length === 0, exempt: false, reasons };
  }

  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async invite(_tx: Transaction, name: string): Promise<void> {
    if (!this.#participants.has(name)) this.add(name, 'site');
  }

  async enroll(_tx: Transaction, name: string, publicKey: Uint8Array): Promise<void> {
    this.#change({ ...this.#required(name), publicKey });
  }

  async quarantine(_tx: Transaction, name: string, reasons: readonly Reason[]): Promise<boolean> {
    if (this.#required(name).quarantine !== undefined) return false;
    this.update(name, { quarantine: reasons });
    return true;
  }

  async readmit(_tx: Transaction, name: string): Promise<boolean> {
    const { quarantine, ...rest } = this.#required(name);
    if (quarantine === undefined) return false;
    this.#change(rest);
    return true;
  }

  async remove(_tx: Transaction, name: string): Promise<void> {
    this.#required(name);
    this.#participants.delete(name);
    for (const listener of this.#listeners) listener(name, undefined);
  }

  #required(name: string): RegisteredParticipant {
    const participant = this.#participants.get(name);
    if (participant === undefined) throw refusal('PARTICIPANT_UNKNOWN', { participant: name });
    return participant;
  }

  #change(participant: RegisteredParticipant): void {
    this.#participants.set(participant.name, participant);
    for (const listener of this.#listeners) listener(participant.name, participant);
  }
}

function token(participant: string): RegisteredToken {
  return {
    namespace: 'x-a',
    jws: `jws-of-${participant}`,
    issuedAt: new Date(0),
    expiresAt: new Date(600_000),
    appraisedAt: new Date(0),
    appraisal: {
      namespace: 'x-a',
      status: 'affirming',
      reasons: [],
      claims: {},
      unchecked: [],
      trustworthiness: {},
      simulated: true,
    },
    ear: `ear-of-${participant}`,
    evidenceDigest: createHash('sha256').update(participant).digest('hex'),
    endorsements: { certificates: [], crls: [] },
  };
}
