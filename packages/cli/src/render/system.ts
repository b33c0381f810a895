import {
  CaRotationStage,
  type AuditRecord,
  type CaRotation,
  type GetStatusResponse,
  type ShutdownResponse,
} from '@muster/shared/gen/muster/v1/system.js';
import { participantState } from './participant.js';
import { pairs, plain, reasonLines, span, type Styles } from './text.js';

/** The status; what weakens its promises comes first. */
export function statusText(
  status: GetStatusResponse,
  exempt: readonly string[],
  now: Date,
  style: Styles,
): string {
  const warnings = [
    ...(status.simulated
      ? ['SIMULATED: this server accepts simulated devices. Nothing here proves anything.']
      : []),
    ...exempt.map((name) => `EXEMPT: the policy asks no proof of ${name}.`),
    ...(status.shuttingDown ? ['SHUTTING DOWN'] : []),
  ];
  const rotation = status.caRotation;
  const counts = status.participants.map(({ state, count }) => `${count} ${participantState(state, style)}`);
  const started = status.startedAt;
  return [
    ...warnings.map((warning) => `${style.caution(warning)}\n`),
    pairs(
      [
        ['server', `${status.serverName} in ${status.trustDomain}`],
        ['version', plain(status.version)],
        ['up', started === undefined ? '' : span(now.getTime() - started.getTime())],
        ['participants', counts.join(', ') || 'none'],
        ['active jobs', String(status.activeJobs)],
        ['policy', status.policyDigest],
        ['ca_hash', status.caHash],
        ...(rotation === undefined ? [] : [['ca rotation', rotationText(rotation)] as const]),
        ['memory', `${Math.round(Number(status.residentBytes) / 2 ** 20)} MiB`],
        ['audit log', `${status.auditSeq} records`],
      ],
      style,
    ),
  ].join('');
}

function rotationText({ stage, waiting }: CaRotation): string {
  const done = stage === CaRotationStage.PROMOTED ? 'promoted, retire next' : 'prepared, promote next';
  return waiting.length === 0
    ? `${done}: nobody is waited for`
    : `${done}: waiting for ${waiting.map(plain).join(', ')}`;
}

/** What each site answered to a shutdown. */
export function shutdownText({ sites }: ShutdownResponse, style: Styles): string {
  const lines = sites.map(({ participant, acknowledged, reasons }) =>
    acknowledged
      ? `${participant}  ${style.good('ended')}\n`
      : `${participant}  ${style.bad('not confirmed')}\n${reasonLines(reasons, style)}`,
  );
  return `${lines.join('')}The server ends now.\n`;
}

/** One line for a record of the audit log. */
export function auditLine({ seq, content, hash }: AuditRecord, style: Styles): string {
  return `${String(seq).padStart(6)}  ${style.faint(hash.slice(0, 12))}  ${plain(content)}\n`;
}
