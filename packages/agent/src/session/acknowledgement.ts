import { CommandOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { Outgoing } from './outbox.js';

/** The message that says how far a command came. */
export function acknowledgement(
  seq: bigint,
  outcome: 'RECEIVED' | 'APPLIED' | 'FAILED' | 'REJECTED',
  reasons: readonly Reason[] = [],
): Outgoing {
  return {
    $case: 'commandAck',
    value: { seq, outcome: CommandOutcome[outcome], reasons: reasons.map(toReasonMessage) },
  };
}
