import type { LiveFederation } from './federation.js';
import { callPollMs, eventually, patienceMs } from './wait.js';

/** A reason in the JSON of `muster`. */
export interface ReasonView {
  readonly code: string;
  readonly message: string;
  readonly participant?: string;
  readonly namespace?: string;
  readonly path?: string;
}

/** What `muster participant get -o json` prints, as far as tests look. */
export interface ParticipantView {
  readonly participant: {
    readonly name: string;
    readonly state: string;
    readonly exempt?: boolean;
    readonly connected?: boolean;
    readonly epoch?: string;
    readonly reasons?: readonly ReasonView[];
  };
}

/** What `muster job get -o json` prints, as far as tests look. */
export interface JobView {
  readonly job: {
    readonly id: string;
    readonly state: string;
    readonly generation?: string;
    readonly reasons?: readonly ReasonView[];
    readonly sites?: readonly {
      readonly participant: string;
      readonly state: string;
      readonly exitCode?: number;
      readonly endedByLease?: boolean;
      readonly reasons?: readonly ReasonView[];
    }[];
  };
}

/** Waits until a participant is in a state, and returns it. */
export function inState(
  federation: LiveFederation,
  name: string,
  state: 'UNPROVEN' | 'TRUSTED' | 'QUARANTINED' | 'SILENT',
  timeoutMs = patienceMs,
): Promise<ParticipantView['participant']> {
  const look = async (): Promise<ParticipantView['participant'] | undefined> => {
    const { participant } = await federation.ask<ParticipantView>('participant', 'get', name);
    return participant.state === `PARTICIPANT_STATE_${state}` ? participant : undefined;
  };
  return eventually(`${name} to be ${state}`, look, timeoutMs, callPollMs);
}

/** Waits until a job is in a state, and returns it. */
export function jobIs(
  federation: LiveFederation,
  id: string,
  state: 'ADMITTED' | 'RUNNING' | 'STOPPED' | 'COMPLETED' | 'FAILED' | 'BLOCKED',
): Promise<JobView['job']> {
  const look = async (): Promise<JobView['job'] | undefined> => {
    const { job } = await federation.ask<JobView>('job', 'get', id);
    return job.state === `JOB_STATE_${state}` ? job : undefined;
  };
  return eventually(`${id} to be ${state}`, look, patienceMs, callPollMs);
}
