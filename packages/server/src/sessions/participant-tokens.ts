import { mergeEndorsements } from '@muster/shared/evidence/endorsements.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import type { RegisteredParticipant, RegisteredToken } from '../ports.js';

/** The tokens of a participant as others get them, each endorsement once. */
export function participantTokens(
  participant: string,
  role: RegisteredParticipant['role'],
  tokens: readonly RegisteredToken[],
): ParticipantTokens {
  const { certificates, crls, documents } = mergeEndorsements(
    ...tokens.map(({ endorsements }) => endorsements),
  );
  return {
    participant,
    server: role === 'server',
    tokens: tokens.map(({ namespace, jws }) => ({ namespace, jws })),
    endorsements: {
      certificates: certificates.map((der) => Buffer.from(der)),
      crls: crls.map((der) => Buffer.from(der)),
      documents: documents.map(({ kind, content }) => ({ kind, content: Buffer.from(content) })),
    },
  };
}
