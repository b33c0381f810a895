import type { CheckedAnswer } from '@muster/shared/endorsements/bundle/check.js';
import type { Placement } from '@muster/shared/endorsements/bundle/directory.js';
import { reasonLines, span, table, time, type Styles } from '../render/text.js';

/** An answer in a listing. */
export interface Listed extends CheckedAnswer {
  readonly placement?: Placement;
}

/** The listing for programs. */
export function listingJson(answers: readonly Listed[]): unknown {
  return {
    endorsements: answers.map(({ query, found, refusal, placement }) => ({
      ...query,
      expiresAt: found.expiresAt.toISOString(),
      ...(refusal !== undefined && { refusal }),
      ...(placement !== undefined && { placement }),
    })),
  };
}

/** The listing for people: what expires first comes first. */
export function listingText(answers: readonly Listed[], now: Date, style: Styles): string {
  const rows = answers
    .toSorted((a, b) => a.found.expiresAt.getTime() - b.found.expiresAt.getTime())
    .map(({ query: { vendor, kind, path }, found: { expiresAt }, refusal, placement = '' }) => [
      vendor,
      kind,
      time(expiresAt),
      left(expiresAt, now),
      refusal === undefined ? style.good('valid') : style.bad(refusal.code),
      placement,
      shortened(path),
    ]);
  const refusals = answers.flatMap(({ refusal }) => refusal ?? []);
  return [
    table(['VENDOR', 'KIND', 'EXPIRES', 'IN', 'CHECK', '', 'PATH'], rows, style),
    ...(refusals.length === 0 ? [] : ['\n', reasonLines(refusals, style)]),
  ].join('');
}

function left(expiresAt: Date, now: Date): string {
  const ms = expiresAt.getTime() - now.getTime();
  return ms < 0 ? `${span(ms)} ago` : span(ms);
}

/** Long runs of hex are cut: they name chips and keys. */
function shortened(path: string): string {
  return path.replaceAll(/[0-9a-f]{24,}/g, (hex) => `${hex.slice(0, 12)}…`);
}
