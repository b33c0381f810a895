import { generateKeyPairSync } from 'node:crypto';
import { Admission, type AdmissionOptions } from '@muster/server/admission/admission.js';
import type { JobState } from '@muster/server/admission/job-state.js';
import { auditLog } from '@muster/server/audit/log.js';
import type { Signer, Speaker } from '@muster/server/ports.js';
import { Responses } from '@muster/server/responses/responses.js';
import { Shutdown } from '@muster/server/shutdown/shutdown.js';
import { insertParticipant } from '@muster/server/store/participants.js';
import type { Store } from '@muster/server/store/store.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import type { Reason } from '@muster/shared/reasons.js';
import { FakeClock } from './fake-clock.js';
import { FakeCommands } from './fake-commands.js';
import { FakeRegistry } from './fake-registry.js';
import { silentLogger } from './logger.js';
import { testPolicy } from './policies.js';
import { memoryStore } from './store.js';

export const checkTimeoutMs = 30_000;
export const longestLeaseMs = 70_000;
export const operator = 'spiffe://hospitals.example/operator/alice';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const testSigner: Signer = {
  issuer: 'spiffe://hospitals.example/server/server',
  trustDomain: 'hospitals.example',
  keyId: 'key-1',
  key: privateKey,
  jwks: '{"keys":[]}',
};

/** The server's parts that decide on jobs, over a real store, with sites that do what a test says. */
export interface Federation {
  readonly registry: FakeRegistry;
  readonly commands: FakeCommands;
  readonly clock: FakeClock;
  readonly store: Store;
  readonly admission: Admission;
  readonly responses: Responses;
  readonly shutdown: Shutdown;
  readonly options: AdmissionOptions;
  /** When a site's lease ends, on the clock; 0 for sites that are not here. */
  readonly leases: Map<string, number>;
  /** How often the server was told to end. */
  readonly ended: { count: number };
}

/** What is different about a federation. */
export interface FederationChanges {
  readonly sites?: readonly string[];
  readonly policy?: Partial<Policy>;
}

/** A federation of three proven sites with leases that last. */
export async function federation({
  sites = ['site-1', 'site-2', 'site-3'],
  policy = {},
}: FederationChanges = {}): Promise<Federation> {
  const registry = new FakeRegistry(sites);
  const commands = new FakeCommands();
  const clock = new FakeClock();
  const store = await memoryStore();
  await store.transaction(async (tx) => {
    for (const name of sites) await insertParticipant(tx, { name, role: 'site', invited_at: 0 });
  });
  const leases = new Map(sites.map((site) => [site, 3_600_000]));
  const leaseEndsAt = (participant: string): number => leases.get(participant) ?? 0;
  const options: AdmissionOptions = {
    store,
    registry,
    commands,
    clock,
    leaseEndsAt,
    longestLeaseMs,
    checkTimeoutMs,
    audit: auditLog(clock),
    logger: silentLogger,
    serverName: 'server',
    stopGraceMs: 10_000,
    policy: testPolicy(policy),
    signer: testSigner,
  };
  const admission = new Admission(options);
  await admission.start();
  const ended = { count: 0 };
  const shutdown = new Shutdown({ ...options, admission, endServer: () => void (ended.count += 1) });
  const responses = new Responses({ ...options, admission, shutdown, actor: testSigner.issuer });
  return { registry, commands, clock, store, admission, responses, shutdown, options, leases, ended };
}

/** A site in its newest session. */
export function speaker(participant: string): Speaker {
  return { participant, epoch: 0 };
}

/** Registers a job at the sites named. */
export async function submit(
  { admission }: Federation,
  id: string,
  participants: readonly string[],
  byoc = false,
): Promise<JobState> {
  const { state } = await admission.submit({
    id,
    spec: { participants, byoc, name: '' },
    submitter: operator,
  });
  return state;
}

/** Asks for admission and lets every site that was asked answer; those not named say yes. */
export async function admit(
  parts: Federation,
  id: string,
  refusals: Readonly<Record<string, readonly Reason[]>> = {},
): Promise<JobState> {
  const decision = parts.admission.admit(id, operator);
  decision.catch(() => undefined);
  await parts.clock.advance(0);
  const { state } = await parts.admission.get(id);
  if (state.phase === 'checking') {
    for (const site of state.spec.participants) {
      const refused = refusals[site];
      await parts.admission.siteEvents.onJobCheck(
        speaker(site),
        id,
        state.generation,
        refused === undefined,
        refused ?? [],
      );
    }
  }
  return (await decision).state;
}

/** A job that every site runs. */
export async function running(
  parts: Federation,
  id: string,
  participants: readonly string[],
): Promise<JobState> {
  await submit(parts, id, participants);
  const { generation } = await admit(parts, id);
  for (const site of participants) {
    await parts.admission.siteEvents.onJobReport(speaker(site), id, generation, 'RUNNING', 0, []);
  }
  return stateOf(parts, id);
}

/** A job as it is. */
export async function stateOf({ admission }: Federation, id: string): Promise<JobState> {
  return (await admission.get(id)).state;
}

/** The codes of reasons. */
export function codes(reasons: readonly Reason[]): string[] {
  return reasons.map(({ code }) => code);
}

/** The records of the audit log, as `action subject decision`. */
export async function audited({ store }: Federation): Promise<string[]> {
  const rows = await store.transaction((tx) =>
    tx.selectFrom('audit').select('content').orderBy('seq').execute(),
  );
  return rows
    .map(({ content }) => JSON.parse(content) as Record<'action' | 'subject' | 'decision', string>)
    .map(({ action, subject, decision }) => `${action} ${subject} ${decision}`);
}
