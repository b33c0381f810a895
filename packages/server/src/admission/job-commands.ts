import type { TokenDigests } from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { CommandAction } from '../ports.js';

/** Asks a site for its own judgement. */
export function checkJobCommand(check: {
  readonly jobId: string;
  readonly generation: number;
  readonly participants: readonly TokenDigests[];
  readonly deadline: Date;
  readonly dryRun: boolean;
}): CommandAction {
  return { $case: 'checkJob', value: { ...check, generation: BigInt(check.generation) } };
}

/** Permits a job at a site. */
export function permitJobCommand(jobId: string, generation: number, permit: string): CommandAction {
  return { $case: 'permitJob', value: { permit: { jobId, generation: BigInt(generation), permit } } };
}

/** Ends a job at a site, up to a generation. */
export function stopJobCommand(stop: {
  readonly jobId: string;
  readonly generation: number;
  readonly graceMs: number;
  readonly reasons: readonly Reason[];
}): CommandAction {
  return {
    $case: 'stopJob',
    value: {
      jobId: stop.jobId,
      generation: BigInt(stop.generation),
      grace: toDuration(stop.graceMs),
      reasons: stop.reasons.slice(0, maxReasons).map(toReasonMessage),
    },
  };
}

/** Reasons beyond this number do not travel in a command, which is a control message of at most 64 KiB. */
const maxReasons = 16;
