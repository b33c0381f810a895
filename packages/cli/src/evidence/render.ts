import type { Appraisal, Json } from '@muster/shared/evidence/appraisal.js';
import { pairs, plain, reasonLines, type Styles } from '../render/text.js';

/** An appraisal for programs. `simulated` is there only when true. */
export function appraisalJson({ namespace, status, reasons, claims, unchecked, simulated }: Appraisal): Json {
  return {
    namespace,
    status,
    reasons: reasons.map(({ code, message, remedy, path }) => ({
      code,
      message,
      remedy,
      ...(path === undefined ? {} : { path }),
    })),
    claims,
    unchecked,
    ...(simulated ? { simulated } : {}),
  };
}

/** An appraisal for people: the verdict, why, and what the evidence says. */
export function appraisalText(appraisal: Appraisal, style: Styles): string {
  const { namespace, reasons, claims, unchecked, simulated } = appraisal;
  return [
    `${verdict(appraisal, style)}  ${style.strong(namespace)}${simulated ? style.caution('  SIMULATED') : ''}\n`,
    reasons.length === 0 ? '' : `\n${reasonLines(reasons, style)}`,
    Object.keys(claims).length === 0 ? '' : `\n${pairs(claimLines(claims), style)}`,
    unchecked.length === 0 ? '' : `\n${style.caution(`not checked: ${unchecked.join(', ')}`)}\n`,
  ].join('');
}

function verdict({ status }: Appraisal, style: Styles): string {
  if (status === 'affirming') return style.good(status);
  return status === 'contraindicated' ? style.bad(status) : style.caution(status);
}

/** One line per claim; a nested one is written as `key value, key value`, its false and empty parts left out. */
export function claimLines(claims: { readonly [key: string]: Json }): readonly (readonly [string, string])[] {
  return Object.entries(claims).map(([name, value]) => [name.replaceAll('_', ' '), describe(value)]);
}

function describe(value: Json): string {
  if (value === null || typeof value !== 'object') return plain(String(value));
  if (Array.isArray(value)) return value.map(describe).join(', ');
  const parts = Object.entries(value).filter(([, part]) => part !== false);
  return parts
    .map(([name, part]) => {
      const label = name.replaceAll('_', ' ');
      if (part === true) return label;
      return typeof part === 'object' ? `${label} (${describe(part)})` : `${label} ${describe(part)}`;
    })
    .join(', ');
}
