import { describe, expect, it } from '@jest/globals';
import type { CallContext } from '@muster/server/middleware/handlers.js';
import { SystemHandlers } from '@muster/server/services/system.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { Participant, ParticipantState } from '@muster/shared/gen/muster/v1/participant.js';
import { federation, operator, running, testSigner, type Federation } from '../../support/job-federation.js';

const context = {
  caller: { spiffeId: operator } as CallContext['caller'],
  signal: new AbortController().signal,
};

async function service(): Promise<{ parts: Federation; system: SystemHandlers; verified: string[][] }> {
  const parts = await federation();
  const verified: string[][] = [];
  const system = new SystemHandlers({
    ...parts.options,
    admission: parts.admission,
    shutdown: parts.shutdown,
    attestation: { verify: async (names) => void verified.push([...names]) },
    startedAt: parts.clock.now(),
    simulated: true,
    policyDigest: 'digest',
    ca: { hash: 'sha256:00', bundleDigest: '' },
    clock: parts.clock,
    verifyTimeoutMs: 30_000,
    participantMessage: ({ name }) => Participant.fromPartial({ name, state: ParticipantState.TRUSTED }),
  });
  return { parts, system, verified };
}

describe('SystemService', () => {
  it('says what the system is doing and that devices are simulated', async () => {
    const { parts, system } = await service();
    await running(parts, 'job-1', ['site-1']);
    expect(await system.getStatus()).toMatchObject({
      serverName: 'server',
      trustDomain: 'hospitals.example',
      simulated: true,
      serverExempt: false,
      shuttingDown: false,
      participants: [{ state: ParticipantState.TRUSTED, count: 4 }],
      activeJobs: 1,
      auditSeq: 2n,
    });
    expect(await system.getKeys()).toEqual({ jwks: testSigner.jwks });
  });

  it('verifies those named, or all with the server, and refuses a stranger', async () => {
    const { system, verified } = await service();
    const { participants } = await system.verifyNow({ participants: ['site-2'] });
    expect(participants.map(({ name }) => name)).toEqual(['site-2']);
    await system.verifyNow({ participants: [] });
    expect(verified).toEqual([['site-2'], ['server', 'site-1', 'site-2', 'site-3']]);
    await expect(system.verifyNow({ participants: ['site-1', 'ghost'] })).rejects.toMatchObject({
      code: 'PARTICIPANT_UNKNOWN',
      reasons: [{ path: 'participants[1]' }],
    });
  });

  it('shuts down within the bounds of the deadline', async () => {
    const { parts, system } = await service();
    for (const ms of [999, 600_001]) {
      await expect(system.shutdown({ deadline: toDuration(ms), comment: '' }, context)).rejects.toMatchObject(
        {
          code: 'ARGUMENT_INVALID',
          reasons: [{ path: 'deadline' }],
        },
      );
    }
    const answer = system.shutdown({ deadline: toDuration(1_000), comment: 'maintenance' }, context);
    await parts.clock.advance(1_000);
    expect((await answer).sites).toMatchObject([
      { participant: 'site-1', acknowledged: false, reasons: [{ code: 'COMMAND_TIMEOUT' }] },
      { participant: 'site-2' },
      { participant: 'site-3' },
    ]);
    expect((await system.getStatus()).shuttingDown).toBe(true);
  });

  it('reads the audit log in pages', async () => {
    const { parts, system } = await service();
    await running(parts, 'job-1', ['site-1']);
    const { records } = await system.listAuditRecords({ fromSeq: 2n, pageSize: 1 });
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ seq: 2n });
    expect(JSON.parse(records[0]?.content ?? '')).toMatchObject({
      action: 'job.admission',
      subject: 'job-1',
    });
    await expect(system.listAuditRecords({ fromSeq: 1n, pageSize: 1_001 })).rejects.toMatchObject({
      reasons: [{ path: 'page_size' }],
    });
  });
});
