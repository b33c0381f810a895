import { reason, type Reason } from '../../reasons.js';
import type { AppraisalInput, Json } from '../appraisal.js';
import { parseCertificate } from '../x509.js';
import { endorsementKeyOf } from './ak-certificate.js';
import { findEkChain, tpmClaims } from './ek-chain.js';
import { checkEkRevocation } from './ek-revocation.js';
import type { TpmPolicy } from './policy.js';

/** Whether an attestation key was proven by credential activation to be in a TPM that the policy trusts. */
export interface ActivationOutcome {
  /** Why it was not; empty when it was. */
  readonly reasons: readonly Reason[];
  /** What is known of the TPM. */
  readonly claims: { readonly [key: string]: Json };
  readonly unchecked: readonly string[];
  /** True when the TPM's maker is a simulated root. */
  readonly simulated: boolean;
}

const namespace = 'x-tpm';

/**
 * Checks an attestation key (SHA-256 over its SubjectPublicKeyInfo, hex) in two steps. That it is in the TPM with a
 * certain endorsement key is what the server found, for which the federation's CA stands. That this endorsement key is
 * that of a genuine TPM the maker's certificates say, which are verified here.
 */
export function checkActivation(
  akFingerprint: string,
  { policy, endorsements, federation, at, simulatedRoots }: AppraisalInput<TpmPolicy>,
): ActivationOutcome {
  const { activation, revocation } = policy;
  if (activation === undefined || federation === undefined) return refused(reason('TPM_AK_UNPROVEN'));
  const proven = endorsementKeyOf(akFingerprint, endorsements.certificates, federation, at);
  if ('code' in proven) return refused(proven);
  const { ekFingerprint } = proven;
  const known = { ek_fingerprint: ekFingerprint };
  if (activation.eks?.includes(ekFingerprint) === false) {
    const message = `The endorsement key ${ekFingerprint} is none of those that the policy allows.`;
    return refused(reason('TPM_EK_NOT_ALLOWED', { message }), known);
  }

  const simulated = simulatedRoots.filter((root) => root.namespace === namespace);
  const isSimulated = (fingerprint: string): boolean =>
    simulated.some((root) => root.fingerprint === fingerprint);
  const chain = findEkChain(
    ekFingerprint,
    endorsements.certificates.flatMap((der) => parseCertificate(der) ?? []),
    {
      at,
      isTrusted: ({ fingerprint }) => activation.ek_roots.includes(fingerprint) || isSimulated(fingerprint),
    },
  );
  if ('code' in chain) return refused(chain, known);

  const { missing, refusals } = checkEkRevocation(chain, endorsements.crls, at);
  const trusted = chain.issuers.at(-1) ?? chain.issuers[0];
  return {
    reasons: [...refusals, ...(revocation === 'required' ? missing : [])],
    claims: { ...known, ek_root: trusted.fingerprint, ...tpmClaims(chain.ek) },
    unchecked: missing.length > 0 ? ['revocation'] : [],
    simulated: !activation.ek_roots.includes(trusted.fingerprint),
  };
}

function refused(found: Reason, claims: ActivationOutcome['claims'] = {}): ActivationOutcome {
  return { reasons: [found], claims, unchecked: [], simulated: false };
}
