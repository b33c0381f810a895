import { randomBytes, type KeyObject } from 'node:crypto';
import type { Attester, KeyProof } from '@muster/attester/attester.js';
import { collectRound, type Collected } from '@muster/attester/round.js';
import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { AttestationToken } from '@muster/shared/gen/muster/v1/attestation.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';

/** An attester, and how long its tokens shall live. */
export interface TokenSource {
  readonly attester: Attester;
  readonly lifetimeMs: number;
}

/** Whose tokens are made. */
export interface TokenSubject {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

/** What tokens are wanted for. */
export interface TokenRequest {
  readonly nonce: Uint8Array;
  readonly namespaces: readonly string[];
  readonly audience: string;
}

/** Tokens for the namespaces that evidence could be collected for, and why not for the others. */
export interface MadeTokens {
  readonly tokens: readonly AttestationToken[];
  readonly failures: readonly Reason[];
}

const reportDataBytes = 64;

/** The tokens, if all could be made. Errors: ATTESTATION_GENERATION_FAILED, followed by what each device said. */
export function requireTokens({ tokens, failures }: MadeTokens): readonly AttestationToken[] {
  if (failures.length === 0) return tokens;
  const stated = failures[0]?.code === 'ATTESTATION_GENERATION_FAILED';
  const [first, ...rest] = stated ? failures : [reason('ATTESTATION_GENERATION_FAILED'), ...failures];
  throw new MusterError([first ?? reason('ATTESTATION_GENERATION_FAILED'), ...rest]);
}

/** Makes this participant's attestation tokens: fresh evidence for each, whatever was made before. */
export class TokenMaker {
  readonly #sources: ReadonlyMap<string, TokenSource>;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(sources: readonly TokenSource[], clock: Clock, logger: Logger) {
    this.#sources = new Map(sources.map((source) => [source.attester.namespace, source]));
    this.#clock = clock;
    this.#logger = logger;
  }

  get namespaces(): readonly string[] {
    return [...this.#sources.keys()];
  }

  /** Proves the key of the attester that has one to prove; undefined where none has. */
  get keyProof(): KeyProof | undefined {
    return [...this.#sources.values()].flatMap(({ attester }) => attester.keyProof ?? [])[0];
  }

  /** Collects once from every attester. Errors: ATTESTATION_GENERATION_FAILED, with what each device said. */
  async probe(): Promise<void> {
    const attesters = [...this.#sources.values()].map(({ attester }) => attester);
    const round = await collectRound(attesters, randomBytes(reportDataBytes));
    const failures = round.flatMap(({ namespace, outcome }) =>
      outcome.status === 'rejected' ? [this.#failure(namespace, outcome.reason)] : [],
    );
    requireTokens({ tokens: [], failures });
  }

  /** Collects evidence of every namespace in one round. Never rejects; each failure is a reason with its namespace. */
  async make(request: TokenRequest, subject: TokenSubject): Promise<MadeTokens> {
    const wanted = request.namespaces.map((namespace) => this.#sources.get(namespace));
    const round = await collectRound(
      wanted.flatMap((source) => source?.attester ?? []),
      reportData({ nonce: request.nonce, ...subject }),
    );
    const results = await Promise.all(
      request.namespaces.map((namespace) => {
        const collected = round.find((entry) => entry.namespace === namespace);
        return this.#makeOne(namespace, collected, request, subject).catch((error: unknown) =>
          this.#failure(namespace, error),
        );
      }),
    );
    return {
      tokens: results.flatMap((result) => ('jws' in result ? [result] : [])),
      failures: results.flatMap((result) => ('code' in result ? [result] : [])),
    };
  }

  async #makeOne(
    namespace: string,
    collected: Collected | undefined,
    { nonce, audience }: TokenRequest,
    subject: TokenSubject,
  ): Promise<AttestationToken> {
    const source = this.#sources.get(namespace);
    if (source === undefined || collected === undefined) {
      const message = `failed to generate CC token: no attester of the namespace ${namespace} is configured`;
      throw refusal('ATTESTATION_GENERATION_FAILED', { message, namespace });
    }
    if (collected.outcome.status === 'rejected') throw collected.outcome.reason;
    const jws = await signAttestationToken({
      evidence: collected.outcome.value,
      audience,
      nonce,
      identity: subject.identity,
      privateKey: subject.privateKey,
      issuedAt: this.#clock.now(),
      lifetimeMs: source.lifetimeMs,
    });
    this.#logger.debug('attestation.collected', { namespace });
    return { namespace, jws };
  }

  #failure(namespace: string, error: unknown): Reason {
    this.#logger.warn('attestation.failed', { namespace, ...errorFields(error) });
    const first = error instanceof MusterError ? error.reasons[0] : reason('ATTESTATION_GENERATION_FAILED');
    return { ...first, namespace };
  }
}
