import type { Reason as ReasonMessage } from '@muster/shared/gen/muster/v1/reason.js';
import { fromReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Reason } from '@muster/shared/reasons.js';

/** How much of what an agent says about a reason is kept. */
const [maxReasons, maxText] = [32, 512];

/** The reasons that an agent gives: bounded, and about nobody but itself unless it names another participant. */
export function reasonsFrom(messages: readonly ReasonMessage[], participant: string): readonly Reason[] {
  return messages.slice(0, maxReasons).map((message) => {
    const { message: text, remedy, ...given } = fromReasonMessage(message);
    return { participant, ...given, message: text.slice(0, maxText), remedy: remedy.slice(0, maxText) };
  });
}
