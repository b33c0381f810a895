import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { fakeEvidence, type FakeEvidence } from './fake-verifier.js';

export const trustDomain = 'hospitals.example';

/** A participant that can present tokens. */
export interface Presenter {
  readonly identity: Identity & { readonly role: 'site' | 'server' };
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

/** A participant with a fresh key. */
export function presenter(name: string, role: 'site' | 'server' = 'site'): Presenter {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    identity: { trustDomain, role, name },
    privateKey,
    publicKey: publicKeyDer(createPublicKey(privateKey)),
  };
}

/** What is different about a token. */
export interface TokenChanges extends FakeEvidence {
  readonly namespace?: string;
  readonly audience?: string;
  readonly lifetimeMs?: number;
  readonly issuedAt?: Date;
  /** What the evidence is bound to instead of the token's own nonce. */
  readonly boundTo?: Uint8Array;
}

/** A token of the fake namespace `x-a` that answers a nonce. */
export function presentToken(
  { identity, privateKey, publicKey }: Presenter,
  nonce: Uint8Array,
  at: Date,
  changes: TokenChanges = {},
): Promise<string> {
  const {
    namespace = 'x-a',
    audience,
    lifetimeMs = 600_000,
    issuedAt = at,
    boundTo = nonce,
    ...says
  } = changes;
  const data = reportData({ nonce: boundTo, publicKey, identity });
  return signAttestationToken({
    evidence: fakeEvidence(namespace, data, says),
    identity,
    audience: audience ?? registryAudience(identity.trustDomain),
    nonce,
    issuedAt,
    lifetimeMs,
    privateKey,
  });
}
