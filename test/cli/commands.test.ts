import { UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chainHash, emptyChain } from '@muster/shared/audit/chain.js';
import { refusal } from '@muster/shared/errors.js';
import { SiteJobState } from '@muster/shared/gen/muster/v1/agent.js';
import { NamespaceAppraisal, TrustTier } from '@muster/shared/gen/muster/v1/attestation.js';
import { Job, JobServiceService, JobState, SiteCheck, SiteJob } from '@muster/shared/gen/muster/v1/job.js';
import {
  Participant,
  ParticipantServiceService,
  ParticipantState,
} from '@muster/shared/gen/muster/v1/participant.js';
import {
  type AuditRecord,
  CaRotationStage,
  GetStatusResponse,
  SystemServiceService,
} from '@muster/shared/gen/muster/v1/system.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { reason } from '@muster/shared/reasons.js';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { muster as runMuster, type CliResult, type CliSurroundings } from '../support/cli.js';
import { startFakeServices, type FakeServices } from '../support/fake-services.js';

let services: FakeServices;
const now = new Date('2026-01-01T00:00:00Z');

beforeAll(async () => {
  services = await startFakeServices([ParticipantServiceService, JobServiceService, SystemServiceService]);
});
afterAll(() => services.close());

function muster(line: string, around: CliSurroundings = {}): Promise<CliResult> {
  return runMuster(line.split(' '), { env: { MUSTER_PROFILE: services.profile }, ...around });
}

const site: Participant = {
  ...Participant.create(),
  name: 'site-1',
  spiffeId: 'spiffe://test.example/site/site-1',
  state: ParticipantState.TRUSTED,
  connected: true,
  requiredNamespaces: ['x-snp'],
  appraisals: [
    {
      ...NamespaceAppraisal.create(),
      namespace: 'x-snp',
      tier: TrustTier.AFFIRMING,
      appraisedAt: new Date(now.getTime() - 300_000),
      expiresAt: new Date(now.getTime() + 600_000),
      evidenceDigest: 'ab'.repeat(32),
      simulated: true,
    },
  ],
  jobs: ['job-1'],
  epoch: 3n,
};
const server: Participant = {
  ...Participant.create(),
  name: 'server',
  state: ParticipantState.TRUSTED,
  server: true,
  exempt: true,
};
const quarantined: Participant = {
  ...site,
  state: ParticipantState.QUARANTINED,
  reasons: [toReasonMessage(reason('OPERATOR_QUARANTINE', { participant: 'site-1' }))],
};
const siteJob: SiteJob = {
  ...SiteJob.create(),
  participant: 'site-1',
  state: SiteJobState.PENDING,
  check: SiteCheck.ACCEPTED,
};
const admitted: Job = {
  ...Job.create(),
  id: 'job-1',
  spec: { participants: ['site-1'], byoc: false, name: '' },
  state: JobState.ADMITTED,
  generation: 1n,
  updatedAt: now,
  sites: [siteJob],
};
const blocked: Job = {
  ...admitted,
  state: JobState.BLOCKED,
  sites: [],
  reasons: [toReasonMessage(reason('JOB_BYOC'))],
};

describe('participants', () => {
  it('are listed as a table for people, with what weakens their proof', async () => {
    services.answer({ listParticipants: () => ({ participants: [server, site] }) });
    const { out, code } = await muster('participant list');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'NAME             STATE    SESSION  PROOF            AGE  EXPIRES  JOBS   LAST ERROR  NOTES',
        'server (server)  trusted                                                             EXEMPT',
        'site-1           trusted  open     x-snp affirming  5m   in 10m   job-1              SIMULATED',
        '',
      ].join('\n'),
    );
  });

  it('are listed as JSON for programs, also when there are none', async () => {
    services.answer({ listParticipants: () => ({ participants: [] }) });
    expect((await muster('participant list -o json')).json()).toEqual({ participants: [] });
    services.answer({ listParticipants: () => ({ participants: [site] }) });
    expect((await muster('participant list -o json')).json()).toMatchObject({
      participants: [{ name: 'site-1', state: 'PARTICIPANT_STATE_TRUSTED', epoch: '3' }],
    });
  });

  it('are shown with their reasons', async () => {
    services.answer({ getParticipant: () => ({ participant: quarantined }) });
    const { out } = await muster('participant get site-1');
    expect(services.requests).toEqual([{ method: 'getParticipant', request: { name: 'site-1' } }]);
    for (const part of ['quarantined', 'open, epoch 3', 'affirming', 'last error\n  OPERATOR_QUARANTINE']) {
      expect(out).toContain(part);
    }
  });

  it('show how old their proof is, and what last went wrong although it still stands', async () => {
    const reasons = [toReasonMessage(reason('ATTESTATION_DEFERRED', { participant: 'site-1' }))];
    services.answer({
      getParticipant: () => ({ participant: { ...site, reasons } }),
      listParticipants: () => ({ participants: [{ ...site, reasons }] }),
    });
    const { out } = await muster('participant get site-1');
    expect(out).toMatch(/AGE +EXPIRES +LEFT .*\nx-snp +affirming +\S+ +5m +\S+ +in 10m /);
    expect(out).toContain('last error\n  ATTESTATION_DEFERRED');
    expect((await muster('participant list')).out).toContain('ATTESTATION_DEFERRED');
  });

  it('show what their evidence says, where that is asked for', async () => {
    const claims = { ek_fingerprint: 'ab'.repeat(32), clock: { safe: true } };
    const submods = { 'x-tpm': { 'muster.claims': claims } };
    const ear = new UnsecuredJWT({ submods }).encode();
    const appraisals = site.appraisals.map((appraisal) => ({ ...appraisal, ear }));
    services.answer({ getParticipant: () => ({ participant: { ...site, appraisals } }) });
    expect((await muster('participant get site-1')).out).not.toContain('fingerprint');
    const { out } = await muster('participant get site-1 --claims');
    expect(out).toMatch(/x-tpm\nek fingerprint +(?:ab){32}\nclock +safe\n/);
  });

  it('cannot steer the terminal', async () => {
    const agentVersion = '1.0\u001b[2J\nforged';
    services.answer({ getParticipant: () => ({ participant: { ...site, agentVersion } }) });
    const { out } = await muster('participant get site-1');
    expect(out).toContain('1.0 forged');
  });

  it('are watched until the stream ends, one JSON object a line', async () => {
    const changes = [
      { participant: site, removed: false },
      { participant: quarantined, removed: true },
    ];
    services.answer({ watchParticipants: () => changes });
    const json = await muster('participant watch -o json');
    const lines = json.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { removed?: boolean });
    expect(lines.map(({ removed }) => removed)).toEqual([undefined, true]);
    const people = await muster('participant watch');
    expect(people.out.split('\n')[1]).toMatch(/^site-1 {2}removed .*OPERATOR_QUARANTINE/);
  });

  it.each([
    ['quarantine', 'quarantineParticipant'],
    ['readmit', 'readmitParticipant'],
    ['remove', 'removeParticipant'],
  ])('%s passes the comment on', async (command, method) => {
    services.answer({ [method]: () => ({ participant: site }) });
    const { code } = await muster(`participant ${command} site-1 --comment why`);
    expect(code).toBe(0);
    expect(services.requests).toEqual([{ method, request: { name: 'site-1', comment: 'why' } }]);
  });
});

describe('join tokens', () => {
  const answer = { joinToken: 'secret-token', expiresAt: now, caHash: 'sha256:00' };

  it('go to standard output, the next step to standard error', async () => {
    services.answer({ createJoinToken: () => answer });
    const { out, err } = await muster('token create site-1 --ttl 90s');
    expect(out).toBe('secret-token\n');
    expect(err).toContain('ca_hash: sha256:00');
    expect(err).not.toContain('secret-token');
    expect(services.requests[0]?.request).toEqual({ participant: 'site-1', ttl: { seconds: 90n, nanos: 0 } });
  });

  it('go into a new file for its owner only, which is never overwritten', async () => {
    services.answer({ createJoinToken: () => answer });
    const file = join(services.folder, 'join-token');
    const { out, code } = await muster(`token create site-1 --out ${file} -o json`);
    expect(code).toBe(0);
    expect(out).not.toContain('secret-token');
    expect(readFileSync(file, 'utf8')).toBe('secret-token\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const again = await muster(`token create site-1 --out ${file} -o json`);
    expect(again.code).toBe(2);
    expect(again.json()).toMatchObject({ error: { code: 'FILE_EXISTS', path: file } });
  });

  it('leave no file behind when none was made', async () => {
    services.answer({
      createJoinToken: () => {
        throw refusal('PARTICIPANT_NAME_INVALID');
      },
    });
    const file = join(services.folder, 'no-token');
    expect((await muster(`token create Site --out ${file}`)).code).toBe(2);
    expect(existsSync(file)).toBe(false);
  });
});

describe('jobs', () => {
  it('are submitted with their sites', async () => {
    services.answer({ submitJob: () => ({ job: admitted }) });
    const { code } = await muster('job submit job-1 --site site-1,site-2 --site site-3 --byoc --name trial');
    expect(code).toBe(0);
    expect(services.requests[0]?.request).toEqual({
      jobId: 'job-1',
      spec: { participants: ['site-1', 'site-2', 'site-3'], byoc: true, name: 'trial' },
    });
  });

  it.each([
    ['submit job-1 --site site-1', 'submitJob'],
    ['clone job-1 job-2', 'cloneJob'],
    ['admit job-1', 'admitJob'],
  ])('%s exits 1 when the job is blocked, with the reasons', async (line, method) => {
    services.answer({ [method]: () => ({ job: blocked }) });
    const { code, out } = await muster(`job ${line}`);
    expect(code).toBe(1);
    expect(out).toContain('JOB_BYOC');
  });

  it('are admitted with what each site said', async () => {
    services.answer({ admitJob: () => ({ job: admitted }) });
    const { code, out } = await muster('job admit job-1');
    expect(code).toBe(0);
    expect(out).toMatch(/site-1 +accepted +pending/);
  });

  it('are tried without effect, by id or by their sites', async () => {
    services.answer({ dryRunAdmitJob: () => ({ admitted: true, reasons: [], sites: [] }) });
    expect((await muster('job dry-run job-1')).code).toBe(0);
    expect(services.requests[0]?.request).toMatchObject({ jobId: 'job-1', spec: undefined });
    services.answer({
      dryRunAdmitJob: () => ({
        admitted: false,
        sites: [],
        reasons: [reason('ATTESTATION_MISSING', { participant: 'site-2', namespace: 'x-snp' })],
      }),
    });
    const { code, out } = await muster('job dry-run --site site-2');
    expect(code).toBe(1);
    expect(out).toContain('ATTESTATION_MISSING  site-2 · x-snp');
    expect(services.requests[0]?.request).toMatchObject({ jobId: '', spec: { participants: ['site-2'] } });
  });

  it('are stopped and reported on', async () => {
    services.answer({ stopJob: () => ({ job: admitted }), reportJobState: () => ({ job: admitted }) });
    expect((await muster('job stop job-1 --comment enough')).code).toBe(0);
    expect((await muster('job report job-1 --generation 2 --state failed')).code).toBe(0);
    expect(services.requests.map(({ request }) => request)).toEqual([
      { jobId: 'job-1', comment: 'enough' },
      { jobId: 'job-1', generation: 2n, state: JobState.FAILED, detail: '' },
    ]);
  });

  it('are listed page by page up to the limit', async () => {
    services.answer({
      listJobs: ({ pageToken }: { pageToken: string }) =>
        pageToken === ''
          ? { jobs: [admitted], nextPageToken: 'more' }
          : { jobs: [blocked], nextPageToken: '' },
    });
    const { out } = await muster('job list --state blocked');
    expect(out.split('\n').slice(0, 3)).toEqual([
      'ID     STATE     GENERATION  PARTICIPANTS  CHANGED               REASONS',
      'job-1  admitted  1           site-1        2026-01-01T00:00:00Z',
      'job-1  blocked   1           site-1        2026-01-01T00:00:00Z  JOB_BYOC',
    ]);
    expect((await muster('job list --limit 1 -o json')).json()['jobs']).toHaveLength(1);
  });

  it('are watched until the one asked for has ended', async () => {
    const states = [JobState.RUNNING, JobState.STOPPED, JobState.STOPPED];
    services.answer({ watchJobs: () => states.map((state) => ({ job: { ...admitted, state } })) });
    const { out } = await muster('job watch job-1');
    expect(out.split('\n').map((line) => line.split('  ')[1])).toEqual(['running', 'stopped', undefined]);
  });
});

describe('the system', () => {
  const status: GetStatusResponse = {
    ...GetStatusResponse.create(),
    serverName: 'server',
    trustDomain: 'test.example',
    simulated: true,
    participants: [{ state: ParticipantState.TRUSTED, count: 3 }],
  };

  it('says first what weakens its promises', async () => {
    services.answer({
      getStatus: () => status,
      listParticipants: () => ({ participants: [server, site] }),
    });
    const { out } = await muster('status');
    const [first, second] = out.split('\n');
    expect(first).toMatch(/^SIMULATED/);
    expect(second).toBe('EXEMPT: the policy asks no proof of server.');
    expect(out).toContain('3 trusted');
    expect((await muster('status -o json')).json()).toMatchObject({ simulated: true, exempt: ['server'] });
  });

  it.each([
    [undefined, ''],
    [{ stage: CaRotationStage.PREPARED, waiting: ['site/site-1'] }, 'promote next: waiting for site/site-1'],
    [{ stage: CaRotationStage.PROMOTED, waiting: [] }, 'retire next: nobody is waited for'],
  ])('shows how far a rotation of the CA is: %j', async (caRotation, shown) => {
    services.answer({
      getStatus: () => ({ ...status, caRotation }),
      listParticipants: () => ({ participants: [] }),
    });
    const { out } = await muster('status');
    expect(out.includes('ca rotation')).toBe(caRotation !== undefined);
    expect(out).toContain(shown);
  });

  it('verifies now and exits 1 unless everyone is trusted', async () => {
    services.answer({ verifyNow: () => ({ participants: [site] }) });
    expect((await muster('verify site-1')).code).toBe(0);
    expect(services.requests[0]?.request).toEqual({ participants: ['site-1'] });
    services.answer({ verifyNow: () => ({ participants: [site, quarantined] }) });
    expect((await muster('verify')).code).toBe(1);
  });

  it('prints its keys as they are', async () => {
    services.answer({ getKeys: () => ({ jwks: '{"keys":[]}' }) });
    expect((await muster('keys')).out).toBe('{"keys":[]}\n');
  });

  it('shuts down only when told so, and exits 1 when a site did not confirm', async () => {
    services.answer({
      shutdown: () => ({ sites: [{ participant: 'site-1', acknowledged: true, reasons: [] }] }),
    });
    expect((await muster('shutdown')).code).toBe(2);
    expect((await muster('shutdown', { answer: 'no' })).code).toBe(2);
    expect(services.requests).toEqual([]);
    expect((await muster('shutdown', { answer: 'yes' })).code).toBe(0);
    expect((await muster('shutdown --yes --deadline 5s')).code).toBe(0);
    expect(services.requests.at(-1)?.request).toMatchObject({ deadline: { seconds: 5n } });

    const reasons = [reason('COMMAND_TIMEOUT', { participant: 'site-1' })];
    services.answer({
      shutdown: () => ({ sites: [{ participant: 'site-1', acknowledged: false, reasons }] }),
    });
    const { code, out } = await muster('shutdown --yes');
    expect(code).toBe(1);
    expect(out).toContain('COMMAND_TIMEOUT');
  });
});

describe('the audit log', () => {
  const record = (seq: number, previousHash: string): AuditRecord => {
    const content = JSON.stringify({ action: `act-${seq}`, seq });
    return { seq: BigInt(seq), content, previousHash, hash: chainHash(previousHash, content) };
  };
  const first = record(1, emptyChain.hash);
  const second = record(2, first.hash);
  const third = record(3, second.hash);
  const chain = [first, second, third];
  const longChain: AuditRecord[] = [first];
  for (let seq = 2; seq <= 1500; seq += 1) longChain.push(record(seq, longChain.at(-1)?.hash ?? ''));
  const changed = [first, { ...second, content: '{"action":"x","seq":2}' }, third];
  const serve = (records: readonly AuditRecord[]): void =>
    services.answer({
      listAuditRecords: ({ fromSeq, pageSize }: { fromSeq: bigint; pageSize: number }) => ({
        records: records.filter(({ seq }) => seq >= fromSeq).slice(0, pageSize),
      }),
    });

  it('is listed from a record on', async () => {
    serve(chain);
    const { out } = await muster('audit list --from 2 --limit 1');
    expect(out).toContain('{"action":"act-2","seq":2}');
    expect(out.trim().split('\n')).toHaveLength(1);
  });

  it('is checked here, not by the server', async () => {
    serve(chain);
    const { code, json } = await muster('audit verify -o json');
    expect(code).toBe(0);
    expect(json()).toEqual({ intact: true, from: 1, head: { seq: 3, hash: third.hash } });
    serve(changed);
    const broken = await muster('audit verify -o json');
    expect(broken.code).toBe(1);
    expect(broken.json()).toMatchObject({ error: { code: 'AUDIT_CHAIN_BROKEN', path: 'records[2]' } });
  });

  it.each([
    ['whole', chain, 0],
    ['in part', [second, third], 0],
    ['empty', [], 2],
    ['with a first record that follows something', [{ ...first, previousHash: third.hash }], 1],
    ['with a change', changed, 1],
    ['with a gap', [first, third], 1],
  ])('is checked from a file: %s', async (_, records, expected) => {
    serve(records);
    const file = join(services.folder, 'audit.json');
    writeFileSync(file, (await muster('audit list -o json')).out);
    const { code } = await runMuster(['audit', 'verify', file], {});
    expect(code).toBe(expected);
  });

  it('is exported whole, however long, and says what part a file holds', async () => {
    serve(longChain);
    const file = join(services.folder, 'export.json');
    expect((await muster(`audit export --out ${file}`)).out).toMatch(/^intact to record 1500, /);
    expect((await runMuster(['audit', 'verify', file], {})).out).toMatch(/^intact to record 1500, /);
    const part = join(services.folder, 'part.json');
    await muster(`audit export --from 1200 --out ${part}`);
    expect((await runMuster(['audit', 'verify', part], {})).out).toMatch(
      /^intact from record 1200 to record 1500, /,
    );
  });

  it.each<[string, string, readonly AuditRecord[], string, number]>([
    ['over another file', '--from 1', chain, 'FILE_EXISTS', 2],
    ['with a change', '--from 1', changed, 'AUDIT_CHAIN_BROKEN', 1],
    ['from a record that is not there', '--from 9', chain, 'ARGUMENT_INVALID', 2],
  ])('is not exported %s', async (what, option, records, code, exit) => {
    serve(records);
    const file = join(services.folder, `${what.replaceAll(' ', '-')}.json`);
    if (code === 'FILE_EXISTS') writeFileSync(file, 'kept');
    const result = await muster(`audit export ${option} --out ${file} -o json`);
    expect(result.json()).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
    if (code === 'FILE_EXISTS') expect(readFileSync(file, 'utf8')).toBe('kept');
    else expect(existsSync(file)).toBe(false);
  });

  it.each([['not JSON'], ['[]'], ['{"records":[{"seq":1}]}']])('is no file such as %s', async (content) => {
    const file = join(services.folder, 'no-audit.json');
    writeFileSync(file, content);
    expect((await runMuster(['audit', 'verify', file], {})).code).toBe(2);
  });
});

describe('colours', () => {
  it('are for people only', async () => {
    services.answer({ listParticipants: () => ({ participants: [site] }) });
    const escape = '\u001b[';
    expect((await muster('participant list', { colour: true })).out).toContain(`${escape}32mtrusted`);
    expect((await muster('participant list')).out).not.toContain(escape);
    expect((await muster('participant list -o json', { colour: true })).out).not.toContain(escape);
  });
});
