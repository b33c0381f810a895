import { SessionState } from '@muster/shared/gen/muster/agent/v1/local.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { SiteStatus } from './jobs/local-api.js';
import type { Session } from './session/session.js';
import { version } from './version.js';

/** How the site stands, for the local API. There is no session while the agent enrols. */
export function siteStatus(
  participant: string,
  trustDomain: string,
  session: Pick<Session, 'state' | 'leaseLeftMs'> | undefined,
): SiteStatus {
  const state = session?.state;
  const leaseLeftMs = session?.leaseLeftMs;
  return {
    participant,
    trustDomain,
    agentVersion: version,
    session: sessionState(state),
    leaseLeft: leaseLeftMs === undefined ? undefined : toDuration(leaseLeftMs),
    attestedUntil: state?.attestedUntil,
    reasons: (state?.reasons ?? []).map(toReasonMessage),
  };
}

function sessionState(state: Session['state'] | undefined): SessionState {
  if (state === undefined) return SessionState.ENROLLING;
  if (state.leaving) return SessionState.STOPPING;
  return state.active === undefined ? SessionState.CONNECTING : SessionState.OPEN;
}
