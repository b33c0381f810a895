import { coreReasons } from './reasons/core.js';
import type { ReasonEntry } from './reasons/entry.js';
import { serviceTokenReasons } from './evidence/service-token/reasons.js';
import { azureCvmReasons } from './evidence/x-az-cvm/reasons.js';
import { nvReasons } from './evidence/x-nv-gpu/reasons.js';
import { snpReasons } from './evidence/x-snp/reasons.js';
import { tdxReasons } from './evidence/x-tdx/reasons.js';
import { tpmReasons } from './evidence/x-tpm/reasons.js';

/**
 * Every reason that Muster gives for a refusal, a warning or a permission taken back. The list is closed: a code that
 * is not here does not compile. docs/reasons.md is printed from it.
 */
export const reasonCatalogue = {
  ...coreReasons,
  ...snpReasons,
  ...nvReasons,
  ...tdxReasons,
  ...tpmReasons,
  ...azureCvmReasons,
  ...serviceTokenReasons,
} as const satisfies Record<string, ReasonEntry>;

/** A stable code, for example `SNP_MEASUREMENT_UNKNOWN`. Programs decide on it. */
export type ReasonCode = keyof typeof reasonCatalogue;

/** Why something was refused: the code for programs, the sentences for people, and what it is about. */
export interface Reason {
  readonly code: ReasonCode;
  /** One sentence that states what was found. Never holds a token, a key or a join token. */
  readonly message: string;
  /** One sentence that says what to do about it. */
  readonly remedy: string;
  readonly participant?: string;
  readonly namespace?: string;
  /** Path to the offending value in the input, for example `namespaces.x-snp.measurements[0]`. */
  readonly path?: string;
}

/** The particulars of a reason. */
export interface ReasonDetail {
  /** Replaces the catalogue's summary by a sentence with the particulars. */
  readonly message?: string;
  readonly participant?: string;
  readonly namespace?: string;
  readonly path?: string;
}

/** Makes a reason from its code; what the detail leaves out comes from the catalogue. */
export function reason(code: ReasonCode, detail: ReasonDetail = {}): Reason {
  const { summary, remedy } = reasonCatalogue[code];
  return { code, message: summary, remedy, ...detail };
}

/** Whether a string from the wire is a code of this version's catalogue. */
export function isReasonCode(code: string): code is ReasonCode {
  return Object.hasOwn(reasonCatalogue, code);
}
