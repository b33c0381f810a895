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
      'Let the agent prove it (endorsement_key of its attester, activation in the policy), or prove it by hand and add its name to trusted_aks.',
  },
  TPM_AK_CERTIFICATE_ISSUER: {
    status: refused,
    summary: 'The certificate of the attestation key was not issued by a CA of this federation.',
    remedy: 'Have the agent enrol again, so that the server certifies the key anew.',
  },
  TPM_AK_CERTIFICATE_CONSTRAINTS: {
    status: refused,
    summary: 'The certificate of the attestation key may not be used as one.',
    remedy: 'Have the agent enrol again, so that the server certifies the key anew.',
  },
  TPM_AK_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'The certificate of the attestation key is not valid at this time.',
    remedy:
      'Compare the clocks of the server and of this verifier, then have the participant verified again.',
  },
  TPM_AK_CERTIFICATE_PARTICIPANT: {
    status: refused,
    summary: 'The certificate of the attestation key is of another participant.',
    remedy: "Use the participant's own TPM.",
  },
  TPM_CREDENTIAL: {
    status: refused,
    summary:
      'The TPM did not open the credential that was made for its endorsement key and its attestation key.',
    remedy: 'Give the certificate of the endorsement key and the attestation key of one and the same TPM.',
  },
  TPM_EK_UNSUPPORTED: {
    status: malformed,
    summary:
      'The certificate of the endorsement key cannot be read, or is not for RSA with 2048 bits or P-256.',
    remedy:
      'Use the endorsement key of the template L-1 (RSA 2048) or L-2 (P-256) and its certificate, in DER.',
  },
  TPM_EK_CERTIFICATE_MISSING: {
    status: refused,
    summary: 'The certificate of the endorsement key is not at hand.',
    remedy: 'Have the agent enrol again.',
  },
  TPM_EK_CERTIFICATE_CONSTRAINTS: {
    status: refused,
    summary: 'A certificate of the endorsement key or above it may not be used as it is.',
    remedy:
      "Use the certificate that the TPM's maker issued for its endorsement key, and those of its issuers.",
  },
  TPM_EK_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'A certificate of the endorsement key or above it is not valid at this time.',
    remedy: "Get current certificates from the TPM's maker, and check this verifier's clock.",
  },
  TPM_EK_CHAIN_BROKEN: {
    status: refused,
    summary: 'An issuer above the endorsement key is not at hand.',
    remedy: "Put the certificates of the maker's CAs into endorsement_certificates of the attester.",
  },
  TPM_EK_CHAIN_SIGNATURE: {
    status: refused,
    summary: 'A signature in the chain of the endorsement key does not hold.',
    remedy: "Use the certificates that the TPM's maker issued.",
  },
  TPM_EK_ROOT_UNTRUSTED: {
    status: refused,
    summary: 'The maker of the TPM is not among ek_roots.',
    remedy:
      "Add the fingerprint of the maker's CA to ek_roots, once it was compared with what the maker publishes.",
  },
  TPM_EK_NOT_ALLOWED: {
    status: refused,
    summary: 'The endorsement key is none of those that the policy allows.',
    remedy: 'Use one of the TPMs that the policy names, or add its endorsement key to eks.',
  },
  TPM_EK_REVOKED: {
    status: refused,
    summary: "The TPM's maker revoked a certificate of the endorsement key or above it.",
    remedy: 'Replace the TPM, and ask its maker why.',
  },
  TPM_EK_CRL_MISSING: {
    status: refused,
    summary: "A revocation list of the TPM's maker is not at hand.",
    remedy:
      "Put the maker's list into the offline directory as docs/namespaces/x-tpm.md says, or relax revocation.",
  },
  TPM_EK_CRL_SIGNATURE: {
    status: refused,
    summary: "The signature on a revocation list of the TPM's maker does not hold.",
    remedy: "Get the list from the TPM's maker again.",
  },
  TPM_EK_CRL_EXPIRED: {
    status: refused,
    summary: "A revocation list of the TPM's maker is not of this time.",
    remedy: "Get the current list from the TPM's maker.",
  },
  TPM_EK_CRL_UNSUPPORTED: {
    status: refused,
    summary: "A revocation list of the TPM's maker has a critical extension that is not understood.",
    remedy: "Get the maker's complete list.",
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
