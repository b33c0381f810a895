import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { AgentServiceService, SessionRequest } from '@muster/shared/gen/muster/v1/agent.js';
import { JobServiceService } from '@muster/shared/gen/muster/v1/job.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { eventually, residentMib } from '../support/live/wait.js';
import { openSilently, type SilentReader } from '../support/silent-reader.js';
import { FaultFederation, stopBoundMs, times, type FaultSite } from './support/fault-federation.js';
import { enrolMembers, type Member } from './support/light-agent.js';
import { FaultReport } from './support/report.js';
import { Story } from './support/story.js';

const [sessions, watches, jobs] = [16, 16, 32];
/** After what time the server ends the connection of a caller that takes nothing, ms. */
const unreadMs = 15_000;
/** Within what time all of them are far enough behind, and their ends are seen, ms. */
const behindMs = 15_000;
/** What the server may need for callers that take nothing, beside what it needs anyway, MiB. */
const memoryMib = 64;

/** Callers that open streams and read nothing, while one site runs a job. */
describe('callers that read nothing', () => {
  const report = new FaultReport('Callers that read nothing');
  const readers: SilentReader[] = [];
  let federation: FaultFederation;
  let members: readonly Member[];
  let site: FaultSite;

  beforeAll(async () => {
    const names = Array.from({ length: sessions }, (_, index) => `silent-${index}`);
    federation = await FaultFederation.start();
    await federation.live.server.stop();
    members = await enrolMembers(federation.dataDirectory, 'live.example', names);
    await federation.live.startServer();
    site = await federation.addSite('site-1');
    await federation.trusted(site.name);
    // Every change of these is a message to the watches, and the first of them are sent at once.
    for (let count = 1; count <= jobs; count += 1)
      await federation.live.muster('job', 'submit', `watched-${count}`, '--site', site.name);
  }, 120_000);

  afterAll(async () => {
    report.print();
    for (const { close } of readers) close();
    await federation.close();
  }, 60_000);

  it('are cut off, cost little, and delay nobody', async () => {
    const story = new Story(federation, [site]);
    const job = await story.run();
    const before = residentMib(federation.live.server.pid);
    const openedAt = performance.now();
    for (const { tls } of members) readers.push(openSession(federation.live.ports.session, tls));
    for (let count = 0; count < watches; count += 1) readers.push(watchJobs(federation));
    const beats = setInterval(() => readers.slice(0, sessions).forEach(beat), times.heartbeatMs / 5);
    let most = before;
    const memory = setInterval(() => (most = Math.max(most, residentMib(federation.live.server.pid))), 250);

    const gone = story.gone(job.runs, await story.stop(job.jobId), stopBoundMs);
    const outcome = await story.judge(job, stopBoundMs, gone);
    const cutOff = (): boolean => readers.every(({ isClosed }) => isClosed());
    await eventually('every silent reader to be cut off', cutOff, 2 * (unreadMs + behindMs)).catch(
      () => undefined,
    );
    const cutOffMs = Math.round(performance.now() - openedAt);
    for (const timer of [beats, memory]) clearInterval(timer);

    const violations = [
      ...outcome.violations,
      ...(cutOff() ? [] : [`${readers.filter(({ isClosed }) => !isClosed()).length} were not cut off`]),
      ...(cutOffMs <= unreadMs + behindMs ? [] : [`they were cut off only after ${cutOffMs} ms`]),
      ...(most - before <= memoryMib ? [] : [`they cost ${most - before} MiB`]),
      ...(site.live.agent.output().includes('lease.lost') ? ['another site lost its lease'] : []),
    ];
    report.add({
      fault: `${sessions} sessions and ${watches} watches read nothing (cut off after ${cutOffMs} ms, ${most - before} MiB)`,
      injected: readers.length,
      ...outcome,
      violations,
    });
    expect(violations).toEqual([]);
  }, 180_000);
});

function openSession(port: number, identity: ClientIdentity): SilentReader {
  const reader = openSilently(port, identity, AgentServiceService.session.path);
  const hello = { protocolMin: 1, protocolMax: 1, bootId: 'silent', nonce: Buffer.alloc(32, 1) };
  const request = SessionRequest.fromPartial({ message: { $case: 'hello', value: hello } } as never);
  reader.send(SessionRequest.encode(request).finish());
  return reader;
}

let heartbeats = 0n;

function beat({ send }: SilentReader): void {
  heartbeats += 1n;
  const value = { seq: heartbeats, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) };
  send(SessionRequest.encode({ message: { $case: 'heartbeat', value } }).finish());
}

function watchJobs({ live }: FaultFederation): SilentReader {
  const read = (name: string): string => readFileSync(join(live.directory, 'operator', name), 'utf8');
  const identity = {
    trustBundle: read('bundle.pem'),
    trustDomain: 'live.example',
    certificate: { chain: read('certificate.pem'), key: read('key.pem') },
  };
  const reader = openSilently(live.ports.session, identity, JobServiceService.watchJobs.path);
  reader.send(new Uint8Array());
  reader.finish();
  return reader;
}
