import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { credentials, status, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js';
import {
  LocalJobServiceClient,
  type Permitted,
  type RunJobRequest,
  type RunJobResponse,
} from '@muster/shared/gen/muster/agent/v1/local.js';
import { fromDuration, toDuration } from '@muster/shared/grpc/duration.js';
import { fromReasonMessage, toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { withinCgroup } from './cgroup.js';
import { endRun, identify, runIdVariable } from './process-tree.js';

/** The exit status of `muster-agent run` when the command was not permitted (EX_TEMPFAIL of sysexits.h). */
export const refusedExitCode = 75;

/** What `muster-agent run` is asked to do. */
export interface RunCommandOptions {
  readonly socketPath: string;
  readonly jobId: string;
  /** How long to wait for the agent, and then for a permit, ms. */
  readonly waitMs: number;
  readonly command: string;
  readonly args: readonly string[];
  /** Where sentences for people go. */
  readonly tell: (line: string) => void;
}

type Call = ClientDuplexStream<RunJobRequest, RunJobResponse>;
type Response = NonNullable<RunJobResponse['message']>;

const forwardedSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/**
 * Runs a command under the agent's supervision, with this process's standard streams, directory, environment and user.
 * It starts only if it is permitted, and when the agent is lost its processes are ended: without supervision, no job.
 * Returns the exit status for this process: the command's, 128 + signal number, 126 or 127 when the command cannot be
 * started, 75 when it was refused or the agent cannot be reached.
 */
export async function runCommand(options: RunCommandOptions): Promise<number> {
  const client = new LocalJobServiceClient(`unix:${options.socketPath}`, credentials.createInsecure(), {
    // Notices an agent that hangs within ten seconds, as its death is noticed at once. The server waits as long.
    'grpc.keepalive_time_ms': 5_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });
  // Without an agent in this time the call fails, which is the answer.
  const deadline = Date.now() + options.waitMs;
  await new Promise<void>((resolve) => client.waitForReady(deadline, () => resolve()));
  const call = client.runJob();
  try {
    return await supervised(call, options);
  } finally {
    call.cancel();
    client.close();
  }
}

async function supervised(call: Call, options: RunCommandOptions): Promise<number> {
  const { tell } = options;
  const agent = listen(call, (reasons) => tellReasons(tell, 'stopping', reasons));
  send(call, {
    $case: 'start',
    value: {
      jobId: options.jobId,
      wait: toDuration(options.waitMs),
      supervisorPid: process.pid,
      supervisorStartTime: BigInt(identify(process.pid)?.startTime ?? 0),
    },
  });
  const answer = await Promise.race([agent.answer, agent.gone]);
  if (answer?.$case === 'permitted') return await runPermitted(call, agent, answer.value, options);
  const reasons = answer?.$case === 'refused' ? answer.value.reasons.map(fromReasonMessage) : [];
  tellReasons(tell, 'refused', reasons.length > 0 ? reasons : [reason('AGENT_UNREACHABLE')]);
  return refusedExitCode;
}

interface Agent {
  readonly answer: Promise<Response | undefined>;
  /** Resolves when the stream is over, however that came. */
  readonly gone: Promise<undefined>;
  /** True once the agent itself has ended the stream, which it does when no process of the run is left. */
  readonly done: () => boolean;
  readonly stopped: () => boolean;
}

function listen(call: Call, onStop: (reasons: readonly Reason[]) => void): Agent {
  let isDone = false;
  let isStopped = false;
  const gone = new Promise<undefined>((resolve) => {
    call.once('status', ({ code }: StatusObject) => {
      isDone = code === status.OK;
      resolve(undefined);
    });
  });
  const answer = new Promise<Response | undefined>((resolve) => {
    call.on('data', ({ message }: RunJobResponse) => {
      resolve(message);
      if (message?.$case !== 'stop') return;
      isStopped = true;
      onStop(message.value.reasons.map(fromReasonMessage));
    });
  });
  call.on('error', () => undefined);
  return { answer, gone, done: () => isDone, stopped: () => isStopped };
}

async function runPermitted(
  call: Call,
  agent: Agent,
  permitted: Permitted,
  options: RunCommandOptions,
): Promise<number> {
  if (agent.stopped()) return refusedExitCode;
  // Handlers run between turns of the event loop, so there is a child by the time that one is called.
  const stopForwarding = forwardSignals(() => child);
  const child = start(permitted, options);
  const exit = exitOf(child);
  const leader = child.pid === undefined ? undefined : identify(child.pid);
  if (child.pid !== undefined) send(call, { $case: 'started', value: { pid: child.pid } });

  const ended = await Promise.race([exit, agent.gone]);
  if (ended !== undefined) {
    send(call, { $case: 'exited', value: { end: ended.message } });
    call.end();
  }
  await agent.gone;
  if (ended === undefined || !agent.done()) {
    tellReasons(options.tell, 'stopping', [reason('AGENT_UNREACHABLE')]);
    const target = { runId: permitted.runId, ...(leader && { leader }) };
    await endRun(target, fromDuration(permitted.grace) ?? 0);
  }
  stopForwarding();
  const { code, failure } = ended ?? (await exit);
  if (failure !== undefined) tellReasons(options.tell, 'not started', [failure]);
  return code;
}

/** Starts the command as the leader of a session, so that its processes can be told from this one's. */
function start({ runId, generation, permit, cgroup }: Permitted, options: RunCommandOptions): ChildProcess {
  const env = {
    ...process.env,
    [runIdVariable]: runId,
    MUSTER_JOB_ID: options.jobId,
    MUSTER_GENERATION: String(generation),
    MUSTER_PERMIT: permit,
  };
  return withinCgroup(cgroup, () =>
    spawn(options.command, options.args, { stdio: 'inherit', detached: true, env }),
  );
}

interface Exit {
  /** As a shell counts it. */
  readonly code: number;
  readonly failure?: Reason;
  readonly message: NonNullable<Extract<RunJobRequest['message'], { $case: 'exited' }>>['value']['end'];
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return;
      const failure = reason('JOB_COMMAND_NOT_FOUND', { message: error.message });
      const code = error.code === 'ENOENT' ? 127 : 126;
      resolve({ code, failure, message: { $case: 'notStarted', value: toReasonMessage(failure) } });
    });
    child.once('exit', (status, signal) => {
      const number = signal === null ? 0 : constants.signals[signal];
      resolve(
        status === null
          ? { code: 128 + number, message: { $case: 'signal', value: number } }
          : { code: status, message: { $case: 'code', value: status } },
      );
    });
  });
}

/** Hands signals meant for the command on to its process group. Returns the function that ends it. */
function forwardSignals(command: () => ChildProcess): () => void {
  const forward = (signal: NodeJS.Signals): void => {
    const child = command();
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The command changed its user: it does not get this process's signals any more.
    }
  };
  for (const signal of forwardedSignals) process.on(signal, forward);
  return () => {
    for (const signal of forwardedSignals) process.off(signal, forward);
  };
}

function send(call: Call, message: NonNullable<RunJobRequest['message']>): void {
  if (call.writable) call.write({ message });
}

function tellReasons(tell: (line: string) => void, what: string, reasons: readonly Reason[]): void {
  for (const { code, message, remedy } of reasons)
    tell(`muster-agent run: ${what}: ${message} ${remedy} [${code}]`);
}
