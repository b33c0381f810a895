import type { Reason } from '../reasons.js';
import type { Appraisal, DeviceAppraisal, Json } from './appraisal.js';

/** The profile of EAT attestation results (draft-ietf-rats-ear, section 3). */
export const earProfile = 'tag:github.com,2023:veraison/ear';

/** What an attestation result says beside its appraisals. */
export interface EarContext {
  /** Who appraised: `developer` names the software's maker, `build` its release. */
  readonly verifierId: { readonly developer: string; readonly build: string };
  /** When the appraisal was made. */
  readonly issuedAt: Date;
  /** Names the policy that was applied, for example by its digest. */
  readonly policyId: string;
}

/** The claims of an attestation result, ready to be signed as a JWT (draft-ietf-rats-ear, section 3). */
export interface EarClaims {
  readonly eat_profile: typeof earProfile;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly 'ear.verifier-id': { readonly developer: string; readonly build: string };
  /** One appraisal per namespace, and one per device of a namespace, such as `x-nv-gpu/GPU-0`. */
  readonly submods: { readonly [name: string]: EarAppraisal };
}

/** The appraisal of one namespace or device; the `muster.` claims are private ones. */
export interface EarAppraisal {
  readonly 'ear.status': Appraisal['status'];
  readonly 'ear.trustworthiness-vector'?: { readonly [claim: string]: number };
  readonly 'ear.appraisal-policy-id': string;
  readonly 'muster.reasons': readonly { readonly code: string; readonly message: string }[];
  readonly 'muster.claims': { readonly [key: string]: Json };
  readonly 'muster.unchecked': readonly string[];
  readonly 'muster.simulated': boolean;
}

/** Writes appraisals as one attestation result. Throws when there is none, or two are of the same namespace. */
export function earClaims(appraisals: readonly Appraisal[], context: EarContext): EarClaims {
  const namespaces = new Set(appraisals.map(({ namespace }) => namespace));
  if (appraisals.length === 0 || namespaces.size !== appraisals.length) {
    throw new Error('An attestation result is about at least one namespace, and about each one once.');
  }
  const submods = Object.fromEntries(
    appraisals.flatMap((appraisal) => {
      const { namespace, devices = [] } = appraisal;
      return [
        [namespace, earAppraisal(appraisal, context.policyId)],
        ...devices.map((device) => [`${namespace}/${device.name}`, earAppraisal(device, context.policyId)]),
      ] as const;
    }),
  );
  return {
    eat_profile: earProfile,
    iat: Math.floor(context.issuedAt.getTime() / 1000),
    'ear.verifier-id': context.verifierId,
    submods,
  };
}

/** A status of `none` has no vector: nothing was claimed (draft-ietf-rats-ear, section 3.2). */
function earAppraisal(appraisal: Appraisal | DeviceAppraisal, policyId: string): EarAppraisal {
  const vector = appraisal.trustworthiness;
  return {
    'ear.status': appraisal.status,
    ...(Object.keys(vector).length === 0 ? {} : { 'ear.trustworthiness-vector': vector }),
    'ear.appraisal-policy-id': policyId,
    'muster.reasons': appraisal.reasons.map(({ code, message }: Reason) => ({ code, message })),
    'muster.claims': appraisal.claims,
    'muster.unchecked': appraisal.unchecked,
    'muster.simulated': appraisal.simulated,
  };
}
