import { createHash } from 'node:crypto';
import type { TokenDigests } from '@muster/shared/gen/muster/v1/agent.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { Permit } from '@muster/shared/tokens/permit.js';
import type { RegisteredToken, Registry } from '../ports.js';
import type { JobSpec } from './job-state.js';

/** What the server's own check looks at. */
export interface CheckContext {
  readonly registry: Registry;
  /** The server's name: it proves itself like any participant. */
  readonly serverName: string;
}

/**
 * The server's own check of a job: does the server, and does every participant, meet the policy at this moment? Complete
 * per participant and namespace; empty when nobody is refused. What cannot be decided counts as no, and so do tokens
 * issued after `latestIssue`: they are of a time before this server's clock was set back, and sites would refuse them.
 */
export function serverCheck(
  { participants }: JobSpec,
  { registry, serverName }: CheckContext,
  latestIssue: Date,
): readonly Reason[] {
  if (participants.length === 0) return [reason('JOB_NO_PARTICIPANTS')];
  if (participants.includes(serverName)) {
    const message = 'The server takes part in every job; it is not a site of one.';
    return [reason('PARTICIPANT_UNKNOWN', { message, participant: serverName })];
  }
  return [serverName, ...participants].flatMap((participant) => {
    try {
      const { admissible, reasons } = registry.standing(participant);
      if (!admissible) return refused(participant, reasons);
      const early = ofTheFuture(tokensOf(registry, participant), latestIssue);
      return early.length === 0 ? [] : refused(participant, early);
    } catch {
      return refused(participant, [reason('INTERNAL', { participant })]);
    }
  });
}

function ofTheFuture(tokens: readonly RegisteredToken[], latestIssue: Date): readonly Reason[] {
  return tokens
    .filter(({ issuedAt }) => issuedAt > latestIssue)
    .map(({ namespace }) => reason('TOKEN_NOT_YET_VALID', { namespace }));
}

function refused(participant: string, reasons: readonly Reason[]): readonly Reason[] {
  const message = `The participant ${participant} is not meeting CC requirements.`;
  return [
    reason('PARTICIPANT_NOT_ADMISSIBLE', { message, participant }),
    ...reasons.map((entry) => ({ ...entry, participant })),
  ];
}

/** What a site is asked to verify: the server's tokens and those of every participant. */
export function tokenDigests(
  { participants }: JobSpec,
  { registry, serverName }: CheckContext,
): TokenDigests[] {
  return [serverName, ...participants].map((participant) => ({
    participant,
    server: participant === serverName,
    digests: tokensOf(registry, participant).map(({ jws }) => createHash('sha256').update(jws).digest()),
  }));
}

/** The evidence that an admission rests on, by `<participant>/<namespace>`: SHA-256, hex. */
export function evidenceDigests(
  { participants }: JobSpec,
  { registry, serverName }: CheckContext,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [serverName, ...participants].flatMap((participant) =>
      tokensOf(registry, participant).map((token) => [
        `${participant}/${token.namespace}`,
        token.evidenceDigest,
      ]),
    ),
  );
}

/**
 * The participants of a permit with the digests of their attestation results, and the time when the first of their
 * standings ends; at most `longestMs` from now.
 */
export function permitContent(
  { participants }: JobSpec,
  { registry, serverName }: CheckContext,
  now: Date,
  longestMs: number,
): Pick<Permit, 'participants' | 'issuedAt' | 'expiresAt'> {
  const names = [serverName, ...participants];
  const ends = names.map((name) => registry.standing(name).expiresAt?.getTime() ?? Infinity);
  return {
    participants: names.map((name) => ({
      name,
      results: Object.fromEntries(
        tokensOf(registry, name).map(({ namespace, ear }) => [
          namespace,
          createHash('sha256').update(ear).digest('hex'),
        ]),
      ),
    })),
    issuedAt: now,
    expiresAt: new Date(Math.min(now.getTime() + longestMs, ...ends)),
  };
}

function tokensOf(registry: Registry, participant: string): readonly RegisteredToken[] {
  return registry.find(participant)?.tokens ?? [];
}
