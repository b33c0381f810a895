import { jwksCache, type JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { earProfile } from '@muster/shared/evidence/ear.js';
import { policySchema, type Policy } from '@muster/shared/policy/policy.js';
import { signAttestationToken, registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { FakeClock } from './fake-clock.js';
import { at, keySet, serviceKey, signToken } from './service-tokens.js';
import type { Presenter } from './tokens.js';

const issuer = 'https://verifier.example';
const jwksUri = 'https://verifier.example/keys';

/** A policy that requires the result of a service, and says where its keys are. */
export const servicePolicy: Policy = policySchema.parse({
  servers: [{ name: '*', require: ['ear'] }],
  sites: [{ name: '*', require: ['ear'] }],
  namespaces: { ear: { issuers: [{ issuer, jwks_uri: jwksUri }] } },
});

/** An attestation service in the form of EAR, whose keys can be had while it is up. */
export class FakeAttestationService {
  readonly clock = new FakeClock(at);
  readonly #key = serviceKey('ES256');
  isUp = true;
  requests = 0;

  /** A cache that asks this service for its keys. */
  readonly keys: JwksCache = jwksCache({
    clock: this.clock,
    retryMs: 1,
    fetch: async (address) => {
      this.requests += 1;
      if (!this.isUp || address !== jwksUri) throw new Error('down');
      return Response.json(await keySet(this.#key));
    },
  });

  /** A participant's token whose evidence is this service's result about it. */
  async token({ identity, privateKey, publicKey }: Presenter, nonce: Uint8Array): Promise<string> {
    const result = await signToken(
      {
        iss: issuer,
        eat_profile: earProfile,
        eat_nonce: Buffer.from(reportData({ nonce, publicKey, identity })).toString('base64url'),
        submods: { machine: { 'ear.status': 'affirming' } },
      },
      this.#key,
    );
    return signAttestationToken({
      evidence: { namespace: 'ear', evidence: new TextEncoder().encode(result) },
      identity,
      audience: registryAudience(identity.trustDomain),
      nonce,
      issuedAt: at,
      lifetimeMs: 600_000,
      privateKey,
    });
  }
}
