import type { Attester } from '@muster/attester/attester.js';
import { Appraiser } from '@muster/server/attestation/appraisal.js';
import { Challenges } from '@muster/server/attestation/challenges.js';
import { everyPeriod } from '@muster/server/attestation/schedule.js';
import { SelfAttestation } from '@muster/server/attestation/self-attestation.js';
import { SiteChallenges } from '@muster/server/attestation/site-challenges.js';
import { VerdictBook } from '@muster/server/attestation/verdict-book.js';
import { Verification } from '@muster/server/attestation/verification.js';
import type { AuditEntry, Failure, Signer } from '@muster/server/ports.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import type { Outbox } from '@muster/server/sessions/connections.js';
import type { Store } from '@muster/server/store/store.js';
import type { EndorsementSource } from '@muster/shared/endorsements/resolve.js';
import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import { generateKeyPairSync } from 'node:crypto';
import { FakeClock } from './fake-clock.js';
import { fakeEvidence, FakeVerifier, type FakeEvidence } from './fake-verifier.js';
import { silentLogger } from './logger.js';
import { testPolicy } from './policies.js';
import { memoryStore } from './store.js';
import { presenter, trustDomain, type Presenter } from './tokens.js';

/** How often everybody is verified again, ms. */
export const verificationPeriodMs = 3_600_000;
/** How long an agent may take to answer a challenge, ms. */
export const challengeTimeoutMs = 30_000;

/** A device of the fake namespace `x-a`, whose evidence a test changes. */
export class FakeAttester implements Attester {
  readonly namespace = 'x-a';
  says: FakeEvidence = {};
  failure: Error | undefined;
  empty = false;
  collections = 0;

  async collect(reportData: Uint8Array): Promise<ReturnType<typeof fakeEvidence>> {
    this.collections += 1;
    if (this.failure !== undefined) throw this.failure;
    if (this.empty) return { namespace: this.namespace, evidence: new Uint8Array() };
    return fakeEvidence(this.namespace, reportData, this.says);
  }
}

/** The registry and attestation of a server over a store in memory; what they call is recorded. */
export interface Federation {
  readonly clock: FakeClock;
  readonly store: Store;
  readonly policy: Policy;
  readonly registry: ParticipantRegistry;
  readonly verifier: FakeVerifier;
  readonly attester: FakeAttester;
  readonly server: Presenter;
  readonly signer: Signer;
  readonly challenges: Challenges;
  readonly appraiser: Appraiser;
  readonly self: SelfAttestation;
  readonly sites: SiteChallenges;
  readonly verification: Verification;
  readonly failures: Failure[];
  readonly audit: AuditEntry[];
  /** Adds a site that has enrolled. */
  enroll(name: string): Promise<Presenter>;
}

/** What a test chooses. */
export interface FederationOptions {
  readonly policy?: Policy;
  readonly outbox?: Outbox;
  readonly endorsements?: EndorsementSource;
  /** A store and clock that another server used before. */
  readonly before?: Pick<Federation, 'store' | 'clock' | 'server' | 'signer'>;
}

const nowhere: EndorsementSource = {
  resolve: async () => ({ endorsements: { certificates: [], crls: [] }, deferred: [] }),
  doubt: () => undefined,
};

/** Composes the parts as the server does. Nothing is started. */
export async function createFederation(options: FederationOptions = {}): Promise<Federation> {
  const { policy = testPolicy(), outbox = { send: () => false }, endorsements = nowhere } = options;
  const { before } = options;
  const clock = before?.clock ?? new FakeClock();
  const store = before?.store ?? (await memoryStore());
  const server = before?.server ?? presenter('muster', 'server');
  const signer = before?.signer ?? newSigner(formatSpiffeId(server.identity));
  const logger = silentLogger;
  const failures: Failure[] = [];
  const audit: AuditEntry[] = [];
  const verifier = new FakeVerifier('x-a');
  const attester = new FakeAttester();
  const registry = await ParticipantRegistry.load(store, { clock, policy });
  const challenges = new Challenges(clock);
  const appraiser = new Appraiser({
    policy,
    policyId: 'sha256:0',
    simulatedRoots: [],
    endorsements,
    trustBundle: () => [],
    signer,
    clock,
    verifiers: [verifier],
  });
  const self = new SelfAttestation({
    identity: { ...server.identity, role: 'server' },
    privateKey: server.privateKey,
    publicKey: server.publicKey,
    attesters: [{ attester, tokenLifetimeMs: 600_000 }],
    policy,
    challenges,
    appraiser,
    timeoutMs: challengeTimeoutMs,
    clock,
  });
  const book = new VerdictBook({
    registry,
    store,
    audit: { append: async (_tx, entry) => void audit.push(entry) },
    failures: { report: async (failure) => void failures.push(failure) },
    logger,
    trustDomain,
  });
  const sites = new SiteChallenges({
    registry,
    challenges,
    appraiser,
    book,
    outbox,
    requiredOf: (name) => {
      const rule = ruleFor(policy, { role: 'site', name });
      return rule === undefined ? [] : requiredNamespaces(rule);
    },
    timeoutMs: challengeTimeoutMs,
    clock,
    logger,
  });
  const verification = new Verification({
    registry,
    store,
    policy,
    self,
    sites,
    appraiser,
    book,
    schedule: everyPeriod(clock, verificationPeriodMs),
    clock,
    logger,
    random: () => 0.5,
  });
  return {
    clock,
    store,
    policy,
    registry,
    verifier,
    attester,
    server,
    signer,
    challenges,
    appraiser,
    self,
    sites,
    verification,
    failures,
    audit,
    async enroll(name) {
      const site = presenter(name);
      await store.transaction(async (tx) => {
        await registry.invite(tx, name);
        await registry.enroll(tx, name, site.publicKey);
      });
      return site;
    },
  };
}

function newSigner(issuer: string): Signer {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { issuer, trustDomain, keyId: 'k1', key, jwks: '{"keys":[]}' };
}
