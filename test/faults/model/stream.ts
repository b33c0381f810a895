import { newSession, type SessionState } from '@muster/server/sessions/session-state.js';
import type { Upstream } from '@muster/server/sessions/frames.js';
import type { Downstream } from '@muster/server/sessions/connections.js';

/** A session's stream: two queues in order, and two ends that learn of its end at different times. */
export class Stream {
  /** The agent's name for it, within one life of the agent. */
  readonly id: number;
  readonly up: Upstream[] = [];
  /** `ended` is the server's end of the stream. */
  readonly down: (Downstream | 'ended')[] = [];
  session: SessionState = newSession;
  epoch = 0;
  agentOpen = true;
  serverOpen = true;

  constructor(id: number) {
    this.id = id;
  }
}

/** What of the product is left out, so that a model is shown to notice. */
export interface Guards {
  /** Older sessions are closed. */
  readonly fencing: boolean;
  /** The agent counts its lease on the monotonic clock. */
  readonly agentClock: boolean;
  /** The server compares commands, and not only their numbers, to notice that its database was restored. */
  readonly latest: boolean;
  /** The agent ends its jobs with its lease. */
  readonly lease: boolean;
  /** The server waits longer than the lease before it counts jobs as ended. */
  readonly margin: boolean;
  /** The agent remembers what it has applied. */
  readonly memory: boolean;
  /** The server names its log anew when an agent knows more than a restored database. */
  readonly rename: boolean;
  /** Unfinished commands outlive the session that they were sent in. */
  readonly replay: boolean;
  /** The agent counts its lease from when the heartbeat was sent. */
  readonly sendTime: boolean;
  /** The server counts leases on the monotonic clock. */
  readonly serverClock: boolean;
}

export const allGuards: Guards = {
  agentClock: true,
  fencing: true,
  latest: true,
  lease: true,
  margin: true,
  memory: true,
  rename: true,
  replay: true,
  sendTime: true,
  serverClock: true,
};

/** The times of the model, ms. */
export const modelTimes = {
  heartbeatMs: 500,
  leaseTtlMs: 2_000,
  graceMs: 300,
  marginMs: 500,
  resendMs: 1_000,
  checkMs: 3_000,
  reportMs: 2_000,
  permitMs: 600_000,
  tokenMs: 3_600_000,
} as const;

/** The one site of the model. */
export const siteName = 'site-1';
