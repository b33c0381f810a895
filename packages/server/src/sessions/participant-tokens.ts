import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import type { RegisteredParticipant, RegisteredToken } from '../ports.js';

/** The tokens of a participant as others get them, each endorsement once. */
export function participantTokens(
  participant: string,
  role: RegisteredParticipant['role'],
  tokens: readonly RegisteredToken[],
): ParticipantTokens {
  return {
    participant,
    server: role === 'server',
    tokens: tokens.map(({ namespace, jws }) => ({ namespace, jws })),
    endorsements: {
      certificates: distinct(tokens.flatMap(({ endorsements }) => endorsements.certificates)),
      crls: distinct(tokens.flatMap(({ endorsements }) => endorsements.crls)),
    },
  };
}

function distinct(items: readonly Uint8Array[]): Buffer[] {
  return [
    ...new Map(items.map((item) => [Buffer.from(item).toString('base64'), Buffer.from(item)])).values(),
  ];
}
