import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { performance } from 'node:perf_hooks';
import { inState, jobIs, type ParticipantView } from '../support/live/views.js';
import { eventually } from '../support/live/wait.js';
import { FaultFederation } from './support/fault-federation.js';
import { enrolMembers, LightAgent, type Member } from './support/light-agent.js';
import { FaultReport } from './support/report.js';

const agentCount = Number(process.env['MUSTER_FAULT_AGENTS'] ?? 300);
const jobSites = 50;
const leaseMs = 30_000;
/** Within what time a thousand agents are back: the server takes two hundred a second, and their delays reach 30 s. */
const backMs = 90_000;

/** Many agents in one process, with real sessions over mTLS to a real server. */
describe('many agents, and two with one identity', () => {
  const report = new FaultReport('Many agents, and two with one identity');
  let federation: FaultFederation;
  let members: readonly Member[];
  const agents: LightAgent[] = [];

  beforeAll(async () => {
    const names = Array.from({ length: agentCount + 1 }, (_, index) => `light-${index}`);
    federation = await FaultFederation.start({
      heartbeat: '2s',
      lease: `${leaseMs}ms`,
      policy: {
        servers: [{ name: 'server', exempt: true, because: 'its device answers few agents a second' }],
        sites: names.map((name) => ({ name, exempt: true, because: 'light agents have no device' })),
      },
    });
    await federation.live.server.stop();
    members = await enrolMembers(federation.dataDirectory, 'live.example', names);
    await federation.live.startServer();
  }, 90_000);

  afterAll(async () => {
    report.print();
    await Promise.all(agents.map(({ session }) => session.leave(0)));
    await federation.close();
  }, 60_000);

  const start = (member: Member): LightAgent => {
    const agent = new LightAgent(member, federation.live.ports.session);
    agents.push(agent);
    return agent;
  };

  it('come back at once after the server was killed, keep their leases, and miss no stop', async () => {
    members.slice(0, agentCount).forEach(start);
    await eventually('every agent to connect', () => agents.every(({ connected }) => connected), backMs, 100);
    const concerned = agents.slice(0, jobSites);
    const sites = concerned.map(({ name }) => name).join(',');
    await federation.live.muster('job', 'submit', 'job-1', '--site', sites);
    expect((await federation.live.muster('job', 'admit', 'job-1')).code).toBe(0);
    const epochs = agents.map(({ session }) => session.state.epoch);
    await federation.live.server.kill();
    const from = performance.now();
    await federation.live.startServer();
    const stop = async (): Promise<boolean> =>
      (await federation.live.muster('job', 'stop', 'job-1')).code === 0;
    await eventually('the stop to be taken', stop, backMs, 250);
    const back = (): boolean =>
      agents.every(
        ({ connected, session }, index) => connected && session.state.epoch > (epochs[index] ?? 0n),
      );
    await eventually('every agent to come back', back, backMs, 100);
    const backAfterMs = Math.round(performance.now() - from);
    await jobIs(federation.live, 'job-1', 'STOPPED');
    const wrong = concerned.filter(({ stopped }) => stopped.join() !== 'job-1/1');
    const violations = [
      ...wrong.map(({ name, stopped }) => `${name} stopped ${stopped.join() || 'nothing'}`),
      ...agents.flatMap(({ name, failure }) =>
        failure === undefined ? [] : [`${name} ended: ${failure.code}`],
      ),
      ...agents.flatMap(({ name, leasesLost }) => (leasesLost === 0 ? [] : [`${name} lost its lease`])),
      ...(await federation.violations()),
    ];
    report.add({
      fault: `${agentCount} agents reconnect (all back after ${backAfterMs} ms)`,
      injected: 1,
      violations,
    });
    expect(violations).toEqual([]);
  }, 240_000);

  it('with one identity are quarantined, and work again once one of them is gone', async () => {
    const member = members.at(-1) as Member;
    const clones = [start(member), start(member)] as const;
    const { reasons = [] } = await eventually(
      'the clones to be noticed',
      async () => {
        const { participant } = await federation.live.ask<ParticipantView>('participant', 'get', member.name);
        return participant.state === 'PARTICIPANT_STATE_QUARANTINED' && participant;
      },
      backMs,
      250,
    );
    const refused = await federation.live.muster('job', 'dry-run', '--site', member.name);
    await clones[1].session.leave(0);
    await federation.live.muster('participant', 'readmit', member.name);
    await inState(federation.live, member.name, 'TRUSTED');
    const violations = [
      ...(reasons.some(({ code }) => code === 'PARTICIPANT_CLONED')
        ? []
        : ['the clone was not named as the reason']),
      ...(refused.code === 1 ? [] : ['a clone was admitted']),
      ...(await federation.violations()),
    ];
    report.add({ fault: 'two agents with one identity', injected: 1, violations });
    expect(violations).toEqual([]);
  }, 120_000);
});
