import type { KeyObject } from 'node:crypto';
import { generationFailed, type Attester } from '@muster/attester/attester.js';
import { collectRound } from '@muster/attester/round.js';
import type { Clock } from '@muster/shared/clock.js';
import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import type { Appraiser, Verdict } from './appraisal.js';
import type { Challenges } from './challenges.js';
import { limiter } from './limiter.js';

/** How many agents are answered at the same time, and how many wait; a device makes one report at a time anyway. */
const [concurrency, maxWaiting] = [4, 256];

/** What the server attests itself with. */
export interface SelfAttestationOptions {
  readonly identity: Identity & { readonly role: 'server' };
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly attesters: readonly { readonly attester: Attester; readonly tokenLifetimeMs: number }[];
  readonly policy: Policy;
  readonly challenges: Challenges;
  readonly appraiser: Appraiser;
  /** How long the devices may take together, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** The server as a participant that proves itself: to itself like any other, and to each agent that asks. */
export class SelfAttestation {
  readonly #options: SelfAttestationOptions;
  readonly #limited = limiter(concurrency, maxWaiting);
  readonly #answers = new Map<string, Promise<readonly string[]>>();

  constructor(options: SelfAttestationOptions) {
    this.#options = options;
  }

  /** The server's name. */
  get name(): string {
    return this.#options.identity.name;
  }

  /** The key that the server's tokens are bound to, SubjectPublicKeyInfo, DER. */
  get publicKey(): Uint8Array {
    return this.#options.publicKey;
  }

  /** The namespaces that the policy requires of the server; none when it is exempt or not listed. */
  get namespaces(): readonly string[] {
    const { policy, identity } = this.#options;
    const rule = ruleFor(policy, identity);
    return rule === undefined ? [] : requiredNamespaces(rule);
  }

  /**
   * Answers a challenge of its own and appraises the answer. Errors: ATTESTATION_GENERATION_FAILED ("failed to generate
   * CC token"), ATTESTATION_DEVICE_TIMEOUT.
   */
  async prove(): Promise<Verdict> {
    const { identity, publicKey, challenges, appraiser, timeoutMs } = this.#options;
    const { name, role, trustDomain } = identity;
    const challenge = challenges.issue(name, publicKey, this.namespaces, timeoutMs);
    const tokens = await this.#collect(challenge.nonce, registryAudience(trustDomain));
    const nonce = challenges.answer(name, publicKey, challenge.id);
    return appraiser.appraise({ participant: { name, role }, publicKey, tokens, nonce });
  }

  /**
   * Tokens that answer an agent's nonce, one per required namespace. Equal questions share one answer.
   * Errors: as {@link prove}; RATE_LIMITED when too many agents ask.
   */
  answer(nonce: Uint8Array, audience: string): Promise<readonly string[]> {
    const question = `${audience} ${Buffer.from(nonce).toString('hex')}`;
    const pending = this.#answers.get(question);
    if (pending !== undefined) return pending;
    const answer = this.#limited(() => this.#collect(nonce, audience)).finally(() =>
      this.#answers.delete(question),
    );
    this.#answers.set(question, answer);
    return answer;
  }

  async #collect(nonce: Uint8Array, audience: string): Promise<readonly string[]> {
    const { identity, privateKey, publicKey, attesters, clock } = this.#options;
    const configured = this.namespaces.map((namespace) => {
      const found = attesters.find(({ attester }) => attester.namespace === namespace);
      if (found === undefined) throw generationFailed(namespace, 'no attester is configured for it.');
      return found;
    });
    const round = await collectRound(
      configured.map(({ attester }) => attester),
      reportData({ nonce, publicKey, identity }),
    );
    return Promise.all(
      round.map(({ namespace, outcome }, index) => {
        if (outcome.status === 'rejected') throw outcome.reason;
        const evidence = outcome.value;
        if (evidence.evidence.length === 0) throw generationFailed(namespace, 'the evidence is empty.');
        return signAttestationToken({
          evidence,
          identity,
          audience,
          nonce,
          issuedAt: clock.now(),
          lifetimeMs: configured[index]?.tokenLifetimeMs ?? 0,
          privateKey,
        });
      }),
    );
  }
}
