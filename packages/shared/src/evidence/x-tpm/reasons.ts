import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';

/** The reasons of quotes by TPMs, in the namespaces x-tpm and x-az-cvm. docs/namespaces/x-tpm.md explains them. */
export const tpmReasons = {
  TPM_CLOCK_INVALID: {
    status: malformed,
    summary: 'The time to verify at is not a valid date.',
    remedy: 'Verify at a valid date.',
  },
  TPM_EVIDENCE_UNREADABLE: {
    status: malformed,
    summary: 'The evidence is not the JSON of a TPM quote.',
    remedy: 'Send the JSON that docs/namespaces/x-tpm.md describes.',
  },
  TPM_QUOTE_UNREADABLE: {
    status: malformed,
    summary: 'The quote is not a TPMS_ATTEST structure of the type quote, made by a TPM.',
    remedy: "Send the TPM's quote as it is.",
  },
  TPM_SIGNATURE_UNREADABLE: {
    status: malformed,
    summary: 'The signature is not a TPMT_SIGNATURE of RSASSA, RSAPSS or ECDSA.',
    remedy: "Send the TPM's signature as it is.",
  },
  TPM_AK_UNREADABLE: {
    status: malformed,
    summary: 'The attestation key is neither a TPM2B_PUBLIC of a signing key nor a SubjectPublicKeyInfo.',
    remedy: 'Send the public area of the attestation key as the TPM gives it.',
  },
  TPM_QUOTE_SIGNATURE: {
    status: refused,
    summary: 'The signature on the quote does not hold under the attestation key.',
    remedy: 'Send the quote, the signature and the public area of the key of one and the same TPM.',
  },
  TPM_AK_WEAK: {
    status: refused,
    summary: 'The attestation key or its hash algorithm is too weak.',
    remedy: 'Make an attestation key of RSA with 2048 bits, P-256 or P-384, with SHA-256 or longer.',
  },
  TPM_AK_ATTRIBUTES: {
    status: refused,
    summary:
      'The attestation key is not a restricted signing key that was made in the TPM and cannot leave it.',
    remedy: 'Make the attestation key as docs/namespaces/x-tpm.md says.',
  },
  TPM_AK_UNPROVEN: {
    status: refused,
    summary: 'Nothing proves that the attestation key is in a genuine TPM: it comes with the evidence alone.',
    remedy:
      "Prove it once by credential activation against the TPM's EK certificate, then add its name to trusted_aks.",
  },
  TPM_NONCE: {
    status: refused,
    summary: "The quote does not answer the verifier's nonce.",
    remedy: 'Quote anew with the nonce of this challenge.',
  },
  TPM_NONCE_EMPTY: {
    status: refused,
    summary: 'The quote was made without a nonce.',
    remedy: 'Quote anew with the nonce of this challenge.',
  },
  TPM_PCR_SELECTION: {
    status: refused,
    summary: 'The quote does not cover exactly the PCRs that the policy asks for.',
    remedy: 'Quote the PCRs that the policy lists under pcr_selection, no more and no less.',
  },
  TPM_PCR_COUNT: {
    status: refused,
    summary: 'The number of PCR values differs from the number of quoted PCRs.',
    remedy: 'Send the value of every quoted PCR, in the order of the selection.',
  },
  TPM_PCR_DIGEST: {
    status: refused,
    summary: 'The PCR values are not those that the quote covers.',
    remedy: 'Read the PCRs and quote them without a change in between; repeat it when one was extended.',
  },
  TPM_PCR_VALUE: {
    status: refused,
    summary: 'A PCR has a value that the policy does not allow.',
    remedy: 'Boot the software that the policy names, or add the new value to the policy.',
  },
  TPM_CLOCK_UNSAFE: {
    status: refused,
    summary: "The TPM's clock may have run backwards since it was last powered down in order.",
    remedy: 'Wait until the TPM has stored its clock, or relax require_safe_clock.',
  },
} as const satisfies Record<string, ReasonEntry>;
