import { generateKey } from '@muster/agent/enrolment/credential.js';
import { openConnection } from '@muster/agent/session/connection.js';
import { Session } from '@muster/agent/session/session.js';
import { openAuthority } from '@muster/server/ca/authority.js';
import { keyPem } from '@muster/server/ca/key-file.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { systemClock } from '@muster/shared/clock.js';
import type { MusterError } from '@muster/shared/errors.js';
import type { Command } from '@muster/shared/gen/muster/v1/agent.js';
import { clientCredentials, type ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { toPem } from '@muster/shared/pki/certificate.js';
import { silentLogger } from '../../support/logger.js';
import { testPolicy } from '../../support/policies.js';

/** A site's identity, issued by the federation's own CA. */
export interface Member {
  readonly name: string;
  readonly tls: ClientIdentity;
}

const lifetimeMs = 3_600_000;

/** Enrols sites in a server's store without evidence, while the server is down. */
export async function enrolMembers(
  dataDirectory: string,
  trustDomain: string,
  names: readonly string[],
): Promise<readonly Member[]> {
  const store = await openSqliteStore(dataDirectory, 'administration');
  try {
    const ca = await openAuthority(store, dataDirectory, trustDomain, systemClock);
    const registry = await ParticipantRegistry.load(store, { clock: systemClock, policy: testPolicy() });
    return await store.transaction(async (tx) => {
      const members: Member[] = [];
      for (const name of names) {
        const key = generateKey();
        await registry.invite(tx, name);
        await registry.enroll(tx, name, key.spki);
        const { chain } = await ca.issue(tx, { role: 'site', name }, key.spki, lifetimeMs);
        const certificate = { chain: toPem(chain), key: keyPem(key.privateKey) };
        members.push({ name, tls: { trustBundle: ca.bundlePem, trustDomain, certificate } });
      }
      return members;
    });
  } finally {
    await store.close();
  }
}

/** The agent's own session over mTLS, with jobs that are only counted. Many fit into one process. */
export class LightAgent {
  readonly name: string;
  readonly session: Session;
  /** The stops that were carried out, as `job/generation`. */
  readonly stopped: string[] = [];
  /** How often the agent ended its jobs because its lease had ended. */
  leasesLost = 0;
  /** What ended the agent, if anything did. */
  failure: MusterError | undefined;

  constructor({ name, tls }: Member, port: number) {
    this.name = name;
    const credentials = clientCredentials(tls);
    this.session = new Session({
      clock: systemClock,
      random: Math.random,
      logger: silentLogger,
      jobs: {
        running: () => [],
        limitGrace: () => undefined,
        stopAll: async () => {
          this.leasesLost += 1;
          return { stopped: true };
        },
        onReport: () => () => undefined,
      },
      namespaces: [],
      connect: (listener) => openConnection(`127.0.0.1:${port}`, credentials, listener),
      judgeServer: async () => [],
      apply: async (command, session) => this.#apply(command, session),
      reconcile: async () => true,
      attest: async ({ id }) => ({ challengeId: id, tokens: [], failures: [] }),
      enrol: async () => undefined,
      trust: { trustDigest: Buffer.alloc(32), follow: () => undefined },
      onShutdown: () => undefined,
      onFailure: (error) => (this.failure = error),
    });
    this.session.start();
  }

  /** Whether the session is open and earns a lease. */
  get connected(): boolean {
    return this.session.server !== undefined && (this.session.leaseLeftMs ?? 0) > 0;
  }

  async #apply({ action }: Command, session: Session): Promise<{ outcome: 'APPLIED'; reasons: [] }> {
    if (action?.$case === 'checkJob') {
      const { jobId, generation } = action.value;
      session.report({ $case: 'jobCheck', value: { jobId, generation, accepted: true, reasons: [] } });
    }
    if (action?.$case === 'stopJob') this.stopped.push(`${action.value.jobId}/${action.value.generation}`);
    return { outcome: 'APPLIED', reasons: [] };
  }
}
