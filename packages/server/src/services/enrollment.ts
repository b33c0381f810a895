import { createPublicKey, type KeyObject } from 'node:crypto';
import { refusal } from '@muster/shared/errors.js';
import type { EnrollmentServiceServer } from '@muster/shared/gen/muster/v1/enrollment.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { requireName } from '@muster/shared/spiffe.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import type { CertificateAuthority } from '../ca/authority.js';
import type { Enrollment } from '../enrollment/enrollment.js';
import { unary } from '../middleware/handlers.js';

/** The longest join token that is looked at, characters. */
const maxJoinTokenLength = 256;
const maxTokens = 16;

/** muster.v1.EnrollmentService. */
export function enrollmentService(enrollment: Enrollment, ca: CertificateAuthority): EnrollmentServiceServer {
  return {
    createChallenge: unary(async ({ joinToken, participant, publicKey, tpmKey }) => {
      requireName(participant, 'participant');
      const { id, nonce, namespaces, deadline, credential } = await enrollment.challenge(
        requireJoinToken(joinToken),
        participant,
        requirePublicKey(publicKey),
        tpmKey,
      );
      return {
        challenge: { id, nonce: Buffer.from(nonce), namespaces: [...namespaces], deadline },
        trustDomain: ca.trustDomain,
        audience: registryAudience(ca.trustDomain),
        tpmCredential: credential && {
          credentialBlob: Buffer.from(credential.blob),
          encryptedSecret: Buffer.from(credential.encryptedSecret),
        },
      };
    }),
    enroll: unary(async ({ challengeId, joinToken, certificateRequest, tokens, tpmSecret }) => {
      if (tokens.length > maxTokens) {
        throw refusal('ARGUMENT_INVALID', {
          message: `There are more than ${maxTokens} tokens.`,
          path: 'tokens',
        });
      }
      const { certificate, rejoinToken } = await enrollment.enroll({
        joinToken: requireJoinToken(joinToken),
        challengeId,
        certificateRequest,
        tokens: tokens.map(({ jws }) => jws),
        tpmSecret,
      });
      return {
        certificateChain: certificate.chain.map((der) => Buffer.from(der)),
        trustBundle: ca.bundle.map((der) => Buffer.from(der)),
        rejoinToken,
      };
    }),
  };
}

function requireJoinToken(token: string): string {
  if (token.length > 0 && token.length <= maxJoinTokenLength) return token;
  throw refusal('JOIN_TOKEN_INVALID', { path: 'join_token' });
}

/** An ECDSA P-256 key in its one encoding. Errors: ARGUMENT_INVALID. */
function requirePublicKey(der: Uint8Array): Uint8Array {
  const invalid = { message: 'public_key is not an ECDSA P-256 key in DER.', path: 'public_key' };
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch (cause) {
    throw refusal('ARGUMENT_INVALID', invalid, cause);
  }
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  if (isP256 && Buffer.from(der).equals(publicKeyDer(key))) return new Uint8Array(der);
  throw refusal('ARGUMENT_INVALID', invalid);
}
