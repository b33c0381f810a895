import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { refusal } from '@muster/shared/errors.js';
import {
  LocalJobServiceService,
  LocalJobState,
  type GetStatusResponse,
  type LocalJob,
  type LocalJobServiceServer,
} from '@muster/shared/gen/muster/agent/v1/local.js';
import type { JobRecord } from './job-record.js';
import { superviseCall } from './supervised-call.js';
import type { JobSupervisor } from './supervisor.js';

/** How the site stands, apart from its jobs, which the supervisor knows. */
export type SiteStatus = Omit<GetStatusResponse, 'jobs'>;

/** What the local API is served with. */
export interface LocalApiOptions {
  /** The Unix socket. Its directory is made, for this user only, where it does not exist. */
  readonly socketPath: string;
  readonly supervisor: JobSupervisor;
  readonly status: () => SiteStatus;
}

/** The running local API. */
export interface LocalApi {
  /** Breaks every stream, which makes each command's supervisor end its command. Stop the jobs first. */
  close(): void;
}

const maxMessageBytes = 64 * 1024;
/** sockaddr_un.sun_path, without its terminating zero (unix(7)). */
const maxSocketPathBytes = 107;

const localStates = {
  starting: LocalJobState.STARTING,
  running: LocalJobState.RUNNING,
  ending: LocalJobState.ENDING,
  stuck: LocalJobState.STUCK,
} as const;

/**
 * Serves muster.agent.v1.LocalJobService on a Unix socket of mode 0600. Once the socket is this agent's, and no sooner,
 * it ends what the commands of an earlier agent left behind.
 * Errors: AGENT_RUNNING when another agent serves it; CONFIG_INVALID when the path is too long, is not a socket's, or
 * its directory is open to others; JOB_STOP_INCOMPLETE.
 */
export async function serveLocalApi({ socketPath, supervisor, status }: LocalApiOptions): Promise<LocalApi> {
  requirePrivateDirectory(socketPath);
  await removeStaleSocket(socketPath);
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.enable_channelz': 0,
  });
  server.addService(LocalJobServiceService, {
    runJob: (call) => superviseCall(call, supervisor),
    getStatus: (_call, respond) => respond(null, { ...status(), jobs: supervisor.jobs().map(localJob) }),
  } satisfies LocalJobServiceServer);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(unusable(socketPath, error.message)),
    );
  });
  chmodSync(socketPath, 0o600);
  const close = (): void => server.forceShutdown();
  await supervisor.endLeftovers().catch((error: unknown) => {
    close();
    throw error;
  });
  return { close };
}

function localJob({ jobId, permit, run }: JobRecord): LocalJob {
  return {
    jobId,
    generation: run?.generation ?? permit?.generation ?? 0n,
    state: run === undefined ? LocalJobState.PERMITTED : localStates[run.phase],
    runId: run?.runId ?? '',
    pid: run?.pid ?? 0,
  };
}

function requirePrivateDirectory(socketPath: string): void {
  if (Buffer.byteLength(socketPath) > maxSocketPathBytes) {
    throw unusable(socketPath, `the path is longer than ${maxSocketPathBytes} bytes`);
  }
  const directory = dirname(socketPath);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { mode, uid } = lstatSync(directory);
  if ((mode & 0o077) !== 0) throw unusable(socketPath, `its directory must have mode 0700`);
  if (uid !== process.getuid?.()) throw unusable(socketPath, `its directory belongs to another user`);
}

/** Removes the socket of an agent that is gone: one that nobody answers on. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw unusable(socketPath, 'it exists and is not a socket');
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(socketPath, () => resolve(true)).on('error', () => resolve(false));
    probe.unref();
    probe.once('connect', () => probe.destroy());
  });
  if (answered) throw refusal('AGENT_RUNNING', { path: 'socket' });
  unlinkSync(socketPath);
}

function unusable(socketPath: string, why: string): Error {
  return refusal('CONFIG_INVALID', { message: `socket: ${socketPath}: ${why}`, path: 'socket' });
}
