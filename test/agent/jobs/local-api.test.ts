import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { serveLocalApi, type LocalApi } from '@muster/agent/jobs/local-api.js';
import { JobSupervisor } from '@muster/agent/jobs/supervisor.js';
import {
  LocalJobServiceClient,
  LocalJobState,
  type GetStatusResponse,
  type RunJobRequest,
  type RunJobResponse,
} from '@muster/shared/gen/muster/agent/v1/local.js';
import { exists, permitFor, processOf, siteStatus, startProcess } from './fixtures.js';
import { eventually } from '../../support/eventually.js';

let directory: string;
let socketPath: string;
let supervisor: JobSupervisor;
let open: LocalApi[];

const serve = async (path = socketPath): Promise<void> => {
  open.push(await serveLocalApi({ socketPath: path, supervisor, status: () => siteStatus }));
};
const client = (): LocalJobServiceClient =>
  new LocalJobServiceClient(`unix:${socketPath}`, credentials.createInsecure());

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-api-'));
  socketPath = join(directory, 'agent.sock');
  supervisor = new JobSupervisor({ instance: `a${process.pid}`, graceMs: 100 });
  open = [];
});

afterEach(() => {
  for (const api of open) api.close();
  rmSync(directory, { recursive: true });
});

describe('the socket', () => {
  it('is for its user only', async () => {
    const path = join(directory, 'made', 'agent.sock');
    await serve(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'made')).mode & 0o777).toBe(0o700);
  });

  it('of an agent that is gone is replaced', async () => {
    const other = join(directory, 'other', 'agent.sock');
    const agent = startProcess('agent', [other, '', 'x']);
    await eventually(() => agent.output().includes('ready'), 'an agent');
    agent.child.kill('SIGKILL');
    await agent.ended;
    expect(statSync(other).isSocket()).toBe(true);
    await serve(other);
  });

  it('of an agent that runs is left alone', async () => {
    const listener = createServer().listen(socketPath);
    await new Promise((resolve) => listener.once('listening', resolve));
    await expect(serve()).rejects.toMatchObject({ code: 'AGENT_RUNNING' });
    listener.close();
  });

  it.each<[string, () => string]>([
    [
      'in a directory that others may use',
      () => {
        const shared = join(directory, 'shared');
        mkdirSync(shared);
        chmodSync(shared, 0o755);
        return join(shared, 'agent.sock');
      },
    ],
    [
      'where something else is',
      () => {
        writeFileSync(socketPath, '');
        return socketPath;
      },
    ],
    ['whose path is too long', () => join(directory, 'x'.repeat(108))],
  ])('%s is refused', async (_name, path) => {
    await expect(serve(path())).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      reasons: [{ path: 'socket' }],
    });
  });
});

describe('the status', () => {
  it('tells how the site stands and which jobs it has', async () => {
    await serve();
    supervisor.permit(permitFor('job-1', 2n));
    const asking = client();
    const answer = await new Promise<GetStatusResponse>((resolve, reject) =>
      asking.getStatus({}, (error, response) => (error === null ? resolve(response) : reject(error))),
    );
    asking.close();
    expect(answer).toMatchObject({
      participant: 'site-1',
      jobs: [{ jobId: 'job-1', generation: 2n, state: LocalJobState.PERMITTED, runId: '', pid: 0 }],
    });
  });
});

describe('a stream', () => {
  const start = (supervisorPid: number, seconds = 0n, startTime?: bigint): RunJobRequest['message'] => ({
    $case: 'start',
    value: {
      jobId: 'job-1',
      wait: { seconds, nanos: 0 },
      supervisorPid,
      supervisorStartTime: startTime ?? BigInt(processOf(supervisorPid).startTime),
    },
  });

  const talk = async (messages: RunJobRequest['message'][]): Promise<ServiceError | RunJobResponse[]> => {
    const asking = client();
    const call = asking.runJob();
    const responses: RunJobResponse[] = [];
    call.on('data', (response: RunJobResponse) => responses.push(response));
    const over = new Promise<ServiceError | RunJobResponse[]>((resolve) => {
      call.once('error', (error: ServiceError) => resolve(error));
      call.once('end', () => resolve(responses));
    });
    for (const message of messages) call.write({ message });
    const result = await over;
    asking.close();
    return result;
  };

  it.each<[string, RunJobRequest['message'][]]>([
    ['that begins with something else than a start', [{ $case: 'started', value: { pid: 1 } }]],
    ['with an empty message', [undefined]],
    ['with two starts', [start(process.ppid, 60n), start(process.ppid, 60n)]],
    ['that would wait for days', [start(process.ppid, 90_000n)]],
    ['in the name of the agent itself', [start(process.pid)]],
  ])('%s is refused', async (_name, messages) => {
    await serve();
    expect(await talk(messages)).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it.each([
    ['that cannot be seen', 2 ** 22 + 1],
    ['that is not the one it says', process.ppid],
  ])('in the name of a process %s is refused', async (_name, pid) => {
    await serve();
    supervisor.permit(permitFor('job-1', 1n));
    expect(await talk([start(pid, 0n, 1n)])).toMatchObject([
      { message: { $case: 'refused', value: { reasons: [{ code: 'JOB_SUPERVISION_LOST' }] } } },
    ]);
  });

  it('about a process that its sender did not start loses permission, and harms no bystander', async () => {
    await serve();
    supervisor.permit(permitFor('job-1', 1n));
    const [sender, bystander] = ['sender', 'bystander'].map(() =>
      spawn('sleep', ['1000'], { detached: true }),
    );
    const asking = client();
    const call = asking.runJob();
    call.on('error', () => undefined);
    call.once('data', () =>
      call.write({ message: { $case: 'started', value: { pid: bystander?.pid ?? 0 } } }),
    );
    call.write({ message: start(sender?.pid ?? 0) });
    // It does not answer to the stop that follows, so it is killed.
    const signal = await new Promise((resolve) => sender?.once('exit', (_code, name) => resolve(name)));
    expect(signal).toBe('SIGKILL');
    expect(exists(bystander?.pid ?? 0)).toBe(true);
    bystander?.kill('SIGKILL');
    asking.close();
    call.cancel();
    await eventually(() => supervisor.running().length === 0, 'the end of the run');
  });

  it('of a message that is too large is refused', async () => {
    await serve();
    const huge = {
      $case: 'start',
      value: { jobId: 'x'.repeat(70_000), wait: undefined, supervisorPid: 2, supervisorStartTime: 1n },
    } as const;
    expect(await talk([huge])).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });
});
