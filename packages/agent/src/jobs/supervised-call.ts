import type { ServerDuplexStream } from '@grpc/grpc-js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type {
  JobExited,
  RunJobRequest,
  RunJobResponse,
  StartJob,
} from '@muster/shared/gen/muster/agent/v1/local.js';
import { fromDuration, toDuration } from '@muster/shared/grpc/duration.js';
import { fromReasonMessage, toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { reason } from '@muster/shared/reasons.js';
import type { StartRequest } from './active-run.js';
import { notStartedCode } from './job-record.js';
import type { CommandEnd, Grant, JobSupervisor } from './supervisor.js';

type Call = ServerDuplexStream<RunJobRequest, RunJobResponse>;
type Message = NonNullable<RunJobRequest['message']>;

const longestWaitMs = 24 * 3_600_000;

/** Ties one stream of RunJob to one run: whatever ends the stream before the command has ended, ends the command. */
export function superviseCall(call: Call, supervisor: JobSupervisor): void {
  const gone = new AbortController();
  let asked = false;
  let grant: Grant | undefined;

  const leave = (): void => {
    gone.abort(refusal('JOB_SUPERVISION_LOST'));
    grant?.lost();
  };
  const fail = (error: unknown): void => {
    call.emit('error', toStatus(error));
    leave();
  };

  const ask = async (start: StartJob): Promise<void> => {
    const request = { ...readStart(start), signal: gone.signal, onStop };
    const granted = await supervisor.start(request);
    grant = granted;
    if (gone.signal.aborted) return granted.lost();
    const { permit, runId, cgroup, graceMs } = granted;
    send(call, {
      $case: 'permitted',
      value: {
        generation: permit.generation,
        runId,
        permit: permit.permit,
        cgroup: cgroup ?? '',
        grace: toDuration(graceMs),
      },
    });
    void granted.over.then(() => call.end());
  };
  const onStop: StartRequest['onStop'] = (graceMs, reasons) =>
    send(call, {
      $case: 'stop',
      value: { grace: toDuration(graceMs), reasons: reasons.map(toReasonMessage) },
    });

  const receive = (message: Message | undefined): void => {
    if (gone.signal.aborted) return;
    if (message?.$case === 'start' && !asked) {
      asked = true;
      ask(message.value).catch((error: unknown) => (isRefusal(error) ? refuse(call, error) : fail(error)));
    } else if (message?.$case === 'started' && grant !== undefined) {
      grant.started(message.value.pid);
    } else if (message?.$case === 'exited' && grant !== undefined) {
      grant.exited(readEnd(message.value));
    } else {
      fail(refusal('ARGUMENT_INVALID', { message: 'This message is not allowed at its place.' }));
    }
  };

  call.on('data', ({ message }: RunJobRequest) => receive(message));
  for (const event of ['end', 'cancelled', 'close', 'error']) call.on(event, leave);
}

function send(call: Call, message: NonNullable<RunJobResponse['message']>): void {
  if (!call.cancelled && call.writable) call.write({ message });
}

function isRefusal(error: unknown): error is MusterError {
  return error instanceof MusterError && error.code !== 'ARGUMENT_INVALID';
}

function refuse(call: Call, { reasons }: MusterError): void {
  send(call, { $case: 'refused', value: { reasons: reasons.map(toReasonMessage) } });
  call.end();
}

function readStart(start: StartJob): Pick<StartRequest, 'jobId' | 'waitMs' | 'supervisor'> {
  const { jobId, supervisorPid: pid } = start;
  const waitMs = fromDuration(start.wait) ?? 0;
  if (waitMs < 0 || waitMs > longestWaitMs) throw refusal('ARGUMENT_INVALID', { path: 'wait' });
  if (pid <= 1 || pid === process.pid) throw refusal('ARGUMENT_INVALID', { path: 'supervisor_pid' });
  return { jobId, waitMs, supervisor: { pid, startTime: String(start.supervisorStartTime) } };
}

function readEnd({ end }: JobExited): CommandEnd {
  switch (end?.$case) {
    case 'code':
      return { exitCode: end.value, reasons: [] };
    case 'signal':
      return { exitCode: 128 + end.value, reasons: [] };
    case 'notStarted':
      return { exitCode: notStartedCode, reasons: [fromReasonMessage(end.value)] };
    case undefined:
      return { exitCode: notStartedCode, reasons: [reason('JOB_SUPERVISION_LOST')] };
    default:
      return end satisfies never;
  }
}
