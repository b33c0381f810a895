import { Metadata, status, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { MusterError } from '../errors.js';
import { ErrorInfo, RetryInfo } from '../gen/google/rpc/error_details.js';
import { Status } from '../gen/google/rpc/status.js';
import { isReasonCode, reason, reasonCatalogue, type Reason } from '../reasons.js';

const detailsKey = 'grpc-status-details-bin';
const domain = 'muster';
const typeOf = {
  errorInfo: 'type.googleapis.com/google.rpc.ErrorInfo',
  retryInfo: 'type.googleapis.com/google.rpc.RetryInfo',
};
/** Reasons beyond this number do not travel, so that trailers stay below the 8 KiB that proxies pass. */
const maxReasons = 8;

/**
 * The status of a failed call: the reasons as google.rpc.ErrorInfo (AIP-193), the delay as google.rpc.RetryInfo. What is
 * not a MusterError becomes INTERNAL without particulars; its cause stays in this process's log.
 */
export function toStatus(error: unknown): Omit<StatusObject, 'code'> & { readonly code: status } {
  const known = error instanceof MusterError ? error : new MusterError([reason('INTERNAL')]);
  const code = status[reasonCatalogue[known.code].status];
  const infos = known.reasons.slice(0, maxReasons).map((entry) => ({
    typeUrl: typeOf.errorInfo,
    value: ErrorInfo.encode(toErrorInfo(entry)).finish() as Buffer,
  }));
  const retry = known.retryAfterMs === undefined ? [] : [retryInfo(known.retryAfterMs)];
  const metadata = new Metadata();
  const details = Status.encode({ code, message: known.message, details: [...infos, ...retry] }).finish();
  metadata.set(detailsKey, Buffer.from(details));
  return { code, details: known.message, metadata };
}

/** What a failed call says, as an error with reasons; a transport failure becomes SERVER_UNREACHABLE. */
export function fromServiceError(error: ServiceError): MusterError {
  const [raw] = error.metadata?.get(detailsKey) ?? [];
  const decoded = raw instanceof Uint8Array ? decode(raw) : { reasons: [] };
  const [first, ...rest] = decoded.reasons;
  const { retryAfterMs } = decoded;
  const options = { cause: error, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (first !== undefined) return new MusterError([first, ...rest], options);
  const unreachable = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED].includes(error.code);
  return new MusterError(
    [reason(unreachable ? 'SERVER_UNREACHABLE' : 'INTERNAL', { message: transportProblem(error.details) })],
    options,
  );
}

/** What went wrong on the way, without what grpc-js puts around the error of the socket or of TLS. */
function transportProblem(details: string): string {
  const [, problem] =
    /Last error: (?:\w*Error: )?(.*?)(?: \([^)]*\))?\. Resolution note:/s.exec(details) ?? [];
  return problem === undefined
    ? details
    : `The connection failed: ${problem.replaceAll(/\s+/g, ' ').trim()}.`;
}

function toErrorInfo({ code, message, remedy, participant, namespace, path }: Reason): ErrorInfo {
  const metadata = Object.fromEntries(
    Object.entries({ message, remedy, participant, namespace, path }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Record<string, string>;
  return { reason: code, domain, metadata };
}

function retryInfo(ms: number): { typeUrl: string; value: Buffer } {
  const retryDelay = { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.floor((ms % 1000) * 1e6) };
  return { typeUrl: typeOf.retryInfo, value: RetryInfo.encode({ retryDelay }).finish() as Buffer };
}

function decode(raw: Uint8Array): { readonly reasons: readonly Reason[]; readonly retryAfterMs?: number } {
  try {
    const { details } = Status.decode(raw);
    const reasons = details
      .filter(({ typeUrl }) => typeUrl === typeOf.errorInfo)
      .map(({ value }) => ErrorInfo.decode(value))
      .filter((info) => info.domain === domain)
      .map(({ reason: code, metadata }): Reason => {
        const known = isReasonCode(code) ? code : 'INTERNAL';
        return { ...reason(known), ...metadata, code: known };
      });
    const retry = details.find(({ typeUrl }) => typeUrl === typeOf.retryInfo);
    const delay = retry && RetryInfo.decode(retry.value).retryDelay;
    if (delay === undefined) return { reasons };
    return { reasons, retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 };
  } catch {
    return { reasons: [] };
  }
}
