import { refusal, type MusterError } from '@muster/shared/errors.js';
import {
  CommandOutcome,
  GoodbyeReason,
  SessionRequest,
  SiteJobState,
  type Hello,
} from '@muster/shared/gen/muster/v1/agent.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';
import type { CommandResult, JobEvents } from '../ports.js';

/** A message from an agent. */
export type Upstream = NonNullable<SessionRequest['message']>;

/** The largest message other than an Attestation, bytes; the endpoint bounds those. */
const maxControlBytes = 64 * 1024;
const maxTokens = 16;
const maxRunningJobs = 1000;
const maxNamespaces = 64;
/** The longest identifier: of a job, a boot, a challenge or a log. */
const maxIdLength = 256;
const maxVersionLength = 64;
const digestBytes = 32;
const digestProblem = `the digest of a trust bundle does not have ${digestBytes} bytes`;

/** The outcomes of commands, as they are on the wire. */
export const outcomeNames: ReadonlyMap<number, CommandResult['outcome']> = new Map([
  [CommandOutcome.RECEIVED, 'RECEIVED'],
  [CommandOutcome.APPLIED, 'APPLIED'],
  [CommandOutcome.FAILED, 'FAILED'],
  [CommandOutcome.REJECTED, 'REJECTED'],
]);

/** The changes of a job's process that an agent reports, as they are on the wire. */
export const jobStateNames: ReadonlyMap<number, Parameters<JobEvents['onJobReport']>[3]> = new Map([
  [SiteJobState.RUNNING, 'RUNNING'],
  [SiteJobState.COMPLETED, 'COMPLETED'],
  [SiteJobState.FAILED, 'FAILED'],
  [SiteJobState.STOPPED, 'STOPPED'],
]);

/** Reads a frame. Errors: SESSION_PROTOCOL when it is malformed, oversized, empty or has a value that is not allowed. */
export function readFrame(bytes: Uint8Array): Upstream {
  const { message } = decode(bytes);
  if (message === undefined) throw broken('it holds no message that this server knows');
  if (message.$case !== 'attestation' && bytes.length > maxControlBytes) {
    throw broken(`it has ${bytes.length} bytes, and ${maxControlBytes} are allowed`);
  }
  const problem = problemOf(message);
  if (problem !== undefined) throw broken(problem);
  return message;
}

/** The error of a frame that cannot be accepted. */
export function broken(why: string): MusterError {
  return refusal('SESSION_PROTOCOL', {
    message: `The session received a message that is not allowed: ${why}.`,
  });
}

function decode(bytes: Uint8Array): SessionRequest {
  try {
    return SessionRequest.decode(bytes);
  } catch (cause) {
    throw refusal('SESSION_PROTOCOL', { message: 'The session received a malformed message.' }, cause);
  }
}

function problemOf(message: Upstream): string | undefined {
  switch (message.$case) {
    case 'hello':
      return problemOfHello(message.value);
    case 'heartbeat':
      return isCount(message.value.seq) ? undefined : 'its number is too large';
    case 'attestation':
      if (!isId(message.value.challengeId)) return 'it names no challenge';
      return message.value.tokens.length > maxTokens ? `it holds more than ${maxTokens} tokens` : undefined;
    case 'commandAck': {
      const { outcome, seq } = message.value;
      if (!outcomeNames.has(outcome)) return 'its outcome is not known';
      return isCount(seq) ? undefined : 'its number is too large';
    }
    case 'jobCheck':
      return problemOfJob(message.value);
    case 'jobReport':
      return jobStateNames.has(message.value.state) ? problemOfJob(message.value) : 'its state is not known';
    case 'trustBundleAck':
      return message.value.digest.length === digestBytes ? undefined : digestProblem;
    case 'goodbye':
      return isGoodbye(message.value.reason) ? undefined : 'its reason is not known';
    default:
      return message satisfies never;
  }
}

function problemOfHello(hello: Hello): string | undefined {
  if (!isId(hello.bootId)) return 'boot_id is missing or too long';
  if (hello.logId.length > maxIdLength) return 'log_id is too long';
  if (hello.nonce.length !== nonceBytes) return `its nonce does not have ${nonceBytes} bytes`;
  if (!isCount(hello.lastEpoch) || !isCount(hello.appliedSeq)) return 'a number is too large';
  if (hello.runningJobs.length > maxRunningJobs) return `more than ${maxRunningJobs} jobs run`;
  if (hello.namespaces.length > maxNamespaces) return `it names more than ${maxNamespaces} namespaces`;
  if (![0, digestBytes].includes(hello.trustBundleDigest.length)) return digestProblem;
  if (hello.agentVersion.length > maxVersionLength) return 'agent_version is too long';
  return hello.runningJobs.map(problemOfJob).find((problem) => problem !== undefined);
}

function problemOfJob(job: { readonly jobId: string; readonly generation: bigint }): string | undefined {
  if (!isId(job.jobId)) return 'job_id is missing or too long';
  return isCount(job.generation) ? undefined : 'its generation is too large';
}

function isId(text: string): boolean {
  return text.length > 0 && text.length <= maxIdLength;
}

function isCount(value: bigint): boolean {
  return value <= BigInt(Number.MAX_SAFE_INTEGER);
}

function isGoodbye(reason: GoodbyeReason): boolean {
  return reason === GoodbyeReason.SHUTDOWN || reason === GoodbyeReason.HANDOVER;
}
