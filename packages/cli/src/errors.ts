import { MusterError } from '@muster/shared/errors.js';
import { reason, reasonCatalogue, type Reason, type ReasonCode } from '@muster/shared/reasons.js';
import { plain, reasonLines, styles } from './render/text.js';
import { exitCodes, type ExitCode, type Terminal } from './terminal.js';

const unreachable = new Set<ReasonCode>(['SERVER_UNREACHABLE', 'SHUTTING_DOWN', 'OPERATOR_SHUTDOWN']);
const notAllowed = new Set<ReasonCode>([
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_EXPIRED',
  'SERVER_IDENTITY_MISMATCH',
]);
const unusable = new Set<ReasonCode>([
  'FILE_UNREADABLE',
  'FILE_UNWRITABLE',
  'FILE_EXISTS',
  'KEY_FILE_EXPOSED',
]);

/** The exit status for an error's primary reason. */
export function exitCodeFor(code: ReasonCode): ExitCode {
  if (unreachable.has(code)) return exitCodes.unreachable;
  if (notAllowed.has(code)) return exitCodes.notAllowed;
  const bad = unusable.has(code) || reasonCatalogue[code].status === 'INVALID_ARGUMENT';
  return bad ? exitCodes.unusable : exitCodes.refused;
}

/** Says what went wrong: `{"error": ...}` on standard output for programs, else sentences on standard error. */
export function reportError(terminal: Terminal, json: boolean, error: unknown): ExitCode {
  const { reasons, message } = asMusterError(error);
  const [first] = reasons;
  if (json) terminal.out(`${JSON.stringify({ error: { ...first, reasons } })}\n`);
  else terminal.err(`${plain(`error: ${message}`)}\n${reasonLines(reasons, styles(false), message)}`);
  return exitCodeFor(first.code);
}

function asMusterError(error: unknown): { reasons: readonly [Reason, ...Reason[]]; message: string } {
  if (error instanceof MusterError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return { reasons: [reason('INTERNAL', { message })], message };
}
