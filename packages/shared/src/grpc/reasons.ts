import type { Reason as ReasonMessage } from '../gen/muster/v1/reason.js';
import { isReasonCode, reason, type Reason } from '../reasons.js';

/** A reason as it travels in messages. */
export function toReasonMessage({
  code,
  message,
  remedy,
  participant,
  namespace,
  path,
}: Reason): ReasonMessage {
  return {
    code,
    message,
    remedy,
    participant: participant ?? '',
    namespace: namespace ?? '',
    path: path ?? '',
  };
}

/** A reason from a message. One with a code of a newer release keeps its sentences and becomes INTERNAL. */
export function fromReasonMessage(message: ReasonMessage): Reason {
  const { participant, namespace, path } = message;
  return {
    ...reason(isReasonCode(message.code) ? message.code : 'INTERNAL'),
    ...(message.message !== '' && { message: message.message }),
    ...(message.remedy !== '' && { remedy: message.remedy }),
    ...(participant !== '' && { participant }),
    ...(namespace !== '' && { namespace }),
    ...(path !== '' && { path }),
  };
}
