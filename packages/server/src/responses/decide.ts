import type { FailureKind, ResponseAction } from '@muster/shared/policy/responses.js';

/** What a response does, in this order. Every failure is recorded. */
export type Response =
  | { readonly type: 'record' }
  /** Bar the participant. */
  | { readonly type: 'quarantine' }
  /** End the participant's own part of its jobs. */
  | { readonly type: 'stop_own_part' }
  /** End, at every site, the jobs that the participant takes part in. */
  | { readonly type: 'stop_jobs' }
  | { readonly type: 'shutdown_system' };

/** What a response depends on besides the policy. */
export interface FailureFacts {
  readonly kind: FailureKind;
  /** True when it is about the server, which is a participant of every job and cannot be barred from its own. */
  readonly server: boolean;
  /** True when the same failure of the same participant was answered and has not recovered since. */
  readonly inEffect: boolean;
}

/**
 * The graded response to a failure. A failure that is in effect is answered once. What bars the server, or takes its
 * jobs' permission back, ends every job.
 */
export function decideResponse(
  responses: Readonly<Record<FailureKind, readonly ResponseAction[]>>,
  { kind, server, inEffect }: FailureFacts,
): readonly Response[] {
  if (inEffect) return [];
  const actions = new Set(responses[kind]);
  const answer: Response[] = [{ type: 'record' }];
  if (actions.has('quarantine') && !server) answer.push({ type: 'quarantine' });
  if (actions.has('stop_job') || (actions.has('quarantine') && server)) answer.push({ type: 'stop_jobs' });
  else if (actions.has('quarantine')) answer.push({ type: 'stop_own_part' });
  if (actions.has('shutdown_system')) answer.push({ type: 'shutdown_system' });
  return answer;
}
