import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { refusal } from '@muster/shared/errors.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import { verifyPermit } from '@muster/shared/tokens/permit.js';
import type { Permit } from '../jobs/job-record.js';
import type { ServerPeer } from '../session/connection.js';

/** This site's own yes to a job. */
export interface Agreement {
  readonly jobId: string;
  readonly generation: bigint;
  /** The names of the sites that were verified. */
  readonly sites: readonly string[];
  /** When the first of the proofs expires that the yes rests on; undefined when everybody is exempt. */
  readonly until: Date | undefined;
}

/** A permit as it came, and who sent it. */
export interface PermitOffer {
  readonly jobId: string;
  readonly generation: bigint;
  readonly permit: string;
  readonly server: ServerPeer;
  /** The keys of the server, a JWK set in JSON. */
  readonly jwks: string;
  readonly at: Date;
}

const maxAgreements = 10_000;

/** The jobs that this site itself has agreed to, the latest generation of each. */
export class Agreements {
  readonly #agreements = new Map<string, Agreement>();

  add(agreement: Agreement): void {
    const known = this.#agreements.get(agreement.jobId);
    if (known !== undefined && known.generation > agreement.generation) return;
    this.#agreements.delete(agreement.jobId);
    this.#agreements.set(agreement.jobId, agreement);
    const [oldest] = this.#agreements.keys();
    if (oldest !== undefined && this.#agreements.size > maxAgreements) this.#agreements.delete(oldest);
  }

  /** Takes a yes back, for every generation up to one. */
  revoke(jobId: string, upToGeneration: bigint): void {
    const known = this.#agreements.get(jobId);
    if (known !== undefined && known.generation <= upToGeneration) this.#agreements.delete(jobId);
  }

  /**
   * Accepts a permit only for what this site has said yes to: the same job, generation and sites, signed by the server
   * of this session, while the proofs are unexpired. Errors: PERMIT_INVALID, JOB_NOT_ADMITTED, ATTESTATION_EXPIRED.
   */
  async accept({ jobId, generation, permit, server, jwks, at }: PermitOffer): Promise<Permit> {
    const { trustDomain } = server.identity;
    const issuer = formatSpiffeId(server.identity);
    const claims = await verifyPermit(permit, { keys: readKeys(jwks), issuer, trustDomain, at });
    if (claims.jobId !== jobId || BigInt(claims.generation) !== generation) {
      throw refusal('PERMIT_INVALID', { message: 'The permit is for another job or generation.' });
    }
    const agreement = this.#agreements.get(jobId);
    if (agreement?.generation !== generation) {
      throw refusal('JOB_NOT_ADMITTED', {
        message: 'This site has not agreed to this generation of the job.',
      });
    }
    const names = claims.participants.map(({ name }) => name).filter((name) => name !== server.identity.name);
    if (!isSameSet(names, agreement.sites)) {
      throw refusal('PERMIT_INVALID', {
        message: 'The permit names other participants than this site verified.',
      });
    }
    if (agreement.until !== undefined && agreement.until <= at) throw refusal('ATTESTATION_EXPIRED');
    return { jobId, generation, permit, expiresAt: claims.expiresAt };
  }
}

function readKeys(jwks: string): ReturnType<typeof createLocalJWKSet> {
  try {
    return createLocalJWKSet(JSON.parse(jwks) as JSONWebKeySet);
  } catch (cause) {
    throw refusal('PERMIT_INVALID', { message: 'The server has sent no readable keys.' }, cause);
  }
}

function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  const [one, other] = [new Set(left), new Set(right)];
  return one.size === left.length && one.size === other.size && [...one].every((name) => other.has(name));
}
