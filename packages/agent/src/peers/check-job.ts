import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import type { TokenDigests } from '@muster/shared/gen/muster/v1/agent.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { isName, type Identity } from '@muster/shared/spiffe.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import type { Appraiser } from './appraiser.js';
import { tokenDigests, tokensKey, VerifiedTokens } from './verified-tokens.js';

/** This site's judgement of a job. */
export interface Judgement {
  /** Why not, complete per participant and namespace; empty for yes. */
  readonly reasons: readonly Reason[];
  /** The sites that were verified. */
  readonly sites: readonly string[];
  /** When the first of the proofs expires that a yes rests on; undefined when everybody is exempt. */
  readonly until: Date | undefined;
}

/** Fetches tokens by participant name. */
export type TokenFetcher = (
  participants: readonly string[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<string, ParticipantTokens>>;

/** What job checks are made with. */
export interface JobCheckerOptions {
  readonly own: Identity;
  readonly appraise: Appraiser;
  readonly clock: Clock;
}

const maxParticipants = 1_000;
/** The longest time that a check may take, whatever the server allows, ms. */
const longestCheckMs = 120_000;

/** Verifies, for this site and by its own policy, the server and every participant of a job. */
export class JobChecker {
  readonly #options: JobCheckerOptions;
  readonly #verified = new VerifiedTokens();

  constructor(options: JobCheckerOptions) {
    this.#options = options;
  }

  /** Judges a job within a time, ms. Whatever is missing, unclear or late is a reason; it never rejects. */
  async judge(
    participants: readonly TokenDigests[],
    serverName: string,
    fetch: TokenFetcher,
    withinMs: number,
  ): Promise<Judgement> {
    const { clock, own } = this.#options;
    const sites = participants.filter(({ server }) => !server).map(({ participant }) => participant);
    const incomplete = findGap(participants, serverName, own.name);
    if (incomplete !== undefined) return { reasons: [incomplete], sites, until: undefined };

    const expired = new AbortController();
    const timeout = (): void => expired.abort(refusal('JOB_CHECK_TIMEOUT'));
    const timer = clock.schedule(Math.max(0, Math.min(withinMs, longestCheckMs)), timeout);
    try {
      if (!(withinMs > 0)) timeout();
      return { ...(await this.#verify(participants, fetch, expired.signal)), sites };
    } catch (error) {
      const reasons = error instanceof MusterError ? error.reasons : [reason('JOB_CHECK_INCOMPLETE')];
      return { reasons, sites, until: undefined };
    } finally {
      timer.cancel();
    }
  }

  async #verify(
    participants: readonly TokenDigests[],
    fetch: TokenFetcher,
    signal: AbortSignal,
  ): Promise<Omit<Judgement, 'sites'>> {
    signal.throwIfAborted();
    const known = participants.map((entry) => ({ entry, until: this.#knownUntil(entry) }));
    const wanted = known.flatMap(({ entry, until }) =>
      until === undefined && entry.digests.length > 0 ? [entry.participant] : [],
    );
    const fetched = wanted.length === 0 ? new Map<string, never>() : await fetch(wanted, signal);
    const reasons: Reason[] = [];
    const expiries = known.flatMap(({ until }) => (until === undefined ? [] : [until]));
    for (const { entry, until } of known) {
      if (until !== undefined) continue;
      signal.throwIfAborted();
      const result = await this.#appraise(entry, fetched.get(entry.participant));
      reasons.push(...result.reasons);
      if (result.until !== undefined) expiries.push(result.until);
      // Heartbeats and stops go on while many participants are verified.
      await setImmediate();
    }
    const first = Math.min(...expiries.map((date) => date.getTime()));
    return { reasons, until: expiries.length === 0 ? undefined : new Date(first) };
  }

  #knownUntil({ participant, server, digests }: TokenDigests): Date | undefined {
    if (digests.length === 0) return undefined;
    return this.#verified.until(tokensKey({ name: participant, server }, digests), this.#options.clock.now());
  }

  async #appraise(
    { participant, server }: TokenDigests,
    presented: ParticipantTokens | undefined,
  ): Promise<{ readonly reasons: readonly Reason[]; readonly until?: Date }> {
    const { own, appraise } = this.#options;
    const { trustDomain } = own;
    const { proven, exempt, reasons, expiresAt } = await appraise(presented, {
      identity: { trustDomain, role: server ? 'server' : 'site', name: participant },
      audience: registryAudience(trustDomain),
    });
    if (exempt) return { reasons: [] };
    if (presented === undefined || presented.tokens.length === 0) {
      return { reasons: [reason('JOB_CHECK_INCOMPLETE', { participant }), ...reasons] };
    }
    if (!proven || expiresAt === undefined) return { reasons };
    this.#verified.add(tokensKey({ name: participant, server }, tokenDigests(presented)), expiresAt);
    return { reasons: [], until: expiresAt };
  }
}

/** What is wrong with the list of participants itself: the server once, this site, everybody once. */
function findGap(
  participants: readonly TokenDigests[],
  serverName: string,
  ownName: string,
): Reason | undefined {
  const gap = (message: string): Reason => reason('JOB_CHECK_INCOMPLETE', { message });
  const names = participants.map(({ participant }) => participant);
  const servers = participants.filter(({ server }) => server);
  if (participants.length > maxParticipants) return gap('The job has more than 1,000 participants.');
  if (!names.every(isName)) return gap('A participant has no valid name.');
  if (new Set(names).size !== names.length) return gap('A participant is named twice.');
  if (servers.length !== 1 || servers[0]?.participant !== serverName) {
    return gap('The participants do not include the server of this session.');
  }
  if (!participants.some(({ participant, server }) => !server && participant === ownName)) {
    return gap('The participants do not include this site.');
  }
  return undefined;
}
