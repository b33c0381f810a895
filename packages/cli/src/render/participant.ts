import { decodeJwt } from 'jose';
import type { EarClaims } from '@muster/shared/evidence/ear.js';
import { TrustTier, type NamespaceAppraisal } from '@muster/shared/gen/muster/v1/attestation.js';
import {
  ParticipantState,
  participantStateToJSON,
  type Participant,
} from '@muster/shared/gen/muster/v1/participant.js';
import { claimLines } from '../evidence/render.js';
import { pairs, plain, reasonLines, span, table, time, type Styles } from './text.js';

/** A table of participants. */
export function participantTable(participants: readonly Participant[], now: Date, style: Styles): string {
  const rows = participants.map((participant) => [
    participant.server ? `${participant.name} (server)` : participant.name,
    participantState(participant.state, style),
    participant.server ? '' : participant.connected ? 'open' : style.caution('none'),
    proof(participant, style),
    age(participant.appraisals, now),
    expiry(participant.appraisals, now),
    participant.jobs.join(' '),
    plain(participant.reasons[0]?.code ?? ''),
    notes(participant, style),
  ]);
  const headings = ['NAME', 'STATE', 'SESSION', 'PROOF', 'AGE', 'EXPIRES', 'JOBS', 'LAST ERROR', 'NOTES'];
  return table(headings, rows, style);
}

/** Everything about one participant. */
export function participantDetails(participant: Participant, now: Date, style: Styles): string {
  const seen = participant.lastSeenAt;
  const namespaces = participant.appraisals.map((appraisal) => [
    appraisal.namespace,
    tier(appraisal.tier, style),
    time(appraisal.appraisedAt),
    age([appraisal], now),
    time(appraisal.expiresAt),
    expiry([appraisal], now),
    appraisal.evidenceDigest.slice(0, 16),
    appraisal.simulated ? style.caution('SIMULATED') : '',
  ]);
  return [
    pairs(
      [
        ['name', participant.name],
        ['identity', participant.spiffeId],
        ['state', participantState(participant.state, style)],
        ['notes', notes(participant, style)],
        ['required', participant.requiredNamespaces.join(' ')],
        ['session', participant.connected ? `open, epoch ${participant.epoch}` : 'none'],
        ['last seen', seen === undefined ? '' : `${span(now.getTime() - seen.getTime())} ago`],
        ['enrolled', time(participant.enrolledAt)],
        ['agent', plain(participant.agentVersion)],
        ['jobs', participant.jobs.join(' ')],
      ],
      style,
    ),
    ...(namespaces.length === 0
      ? []
      : [
          '\n',
          table(
            ['NAMESPACE', 'TIER', 'APPRAISED', 'AGE', 'EXPIRES', 'LEFT', 'EVIDENCE SHA-256', 'NOTES'],
            namespaces,
            style,
          ),
        ]),
    ...participant.appraisals.map(({ reasons }) => reasonLines(reasons, style)),
    ...(participant.reasons.length === 0 ? [] : [`\nlast error\n${reasonLines(participant.reasons, style)}`]),
  ].join('');
}

/** What the evidence of a participant says, as the server found it: one part for each namespace and device. */
export function participantClaims({ appraisals }: Participant, style: Styles): string {
  return appraisals
    .flatMap(({ ear }) => Object.entries(decodeJwt<EarClaims>(ear).submods ?? {}))
    .map(([name, part]) => `\n${style.strong(name)}\n${pairs(claimLines(part['muster.claims']), style)}`)
    .join('');
}

/** One line for a participant that has changed. */
export function participantLine(participant: Participant, removed: boolean, style: Styles): string {
  const state = removed ? 'removed' : participantState(participant.state, style);
  const codes = participant.reasons.map(({ code }) => plain(code)).join(' ');
  return `${[participant.name, state, proof(participant, style), codes, notes(participant, style)].filter(Boolean).join('  ')}\n`;
}

/** A participant's state in a word, coloured by what it means for jobs. */
export function participantState(state: ParticipantState, style: Styles): string {
  const word = participantStateToJSON(state).replace('PARTICIPANT_STATE_', '').toLowerCase();
  if (state === ParticipantState.TRUSTED) return style.good(word);
  return state === ParticipantState.QUARANTINED ? style.bad(word) : style.caution(word);
}

function tier(value: TrustTier, style: Styles): string {
  switch (value) {
    case TrustTier.AFFIRMING:
      return style.good('affirming');
    case TrustTier.WARNING:
      return style.caution('warning');
    case TrustTier.CONTRAINDICATED:
      return style.bad('contraindicated');
    default:
      return style.caution('none');
  }
}

function proof({ appraisals }: Participant, style: Styles): string {
  return appraisals.map((appraisal) => `${appraisal.namespace} ${tier(appraisal.tier, style)}`).join(', ');
}

/** How long ago the oldest of the appraisals was made. */
function age(appraisals: readonly NamespaceAppraisal[], now: Date): string {
  const times = appraisals.flatMap(({ appraisedAt }) =>
    appraisedAt === undefined ? [] : [appraisedAt.getTime()],
  );
  return times.length === 0 ? '' : span(now.getTime() - Math.min(...times));
}

function expiry(appraisals: readonly NamespaceAppraisal[], now: Date): string {
  const times = appraisals.flatMap(({ expiresAt }) => (expiresAt === undefined ? [] : [expiresAt.getTime()]));
  if (times.length === 0) return '';
  const left = Math.min(...times) - now.getTime();
  return left < 0 ? `${span(left)} ago` : `in ${span(left)}`;
}

function notes({ appraisals, exempt }: Participant, style: Styles): string {
  return [
    ...(exempt ? [style.caution('EXEMPT')] : []),
    ...(appraisals.some(({ simulated }) => simulated) ? [style.caution('SIMULATED')] : []),
  ].join(' ');
}
