import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';
const missing = 'FAILED_PRECONDITION';

const asIs = "Send the device's quote as it is.";
const refetch = "Fetch the collateral anew from Intel's service or a PCCS.";
const intelChain = "Use the certificates as Intel's service or the host's PCCS serves them.";
const update = "Update the host's firmware, microcode and TDX module, then have its platform certified anew.";
const relaunch = 'Launch the TD with the expected setting, or change the policy.';
const reference = 'Use the expected image, or add the value to the policy if the change is intended.';

/** The reasons of the namespace x-tdx. docs/namespaces/x-tdx.md explains them. */
export const tdxReasons = {
  TDX_CLOCK_INVALID: {
    status: malformed,
    summary: 'The time to verify at is not a valid date.',
    remedy: 'Verify at a valid date.',
  },
  TDX_QUOTE_LENGTH: {
    status: malformed,
    summary: 'The quote is too long, or the lengths in it do not agree.',
    remedy: asIs,
  },
  TDX_QUOTE_VERSION: {
    status: refused,
    summary: 'The version of the quote is neither 4 nor 5.',
    remedy: 'Use a platform whose quotes have version 4 or 5.',
  },
  TDX_KEY_TYPE: {
    status: refused,
    summary: 'The attestation key of the quote is not ECDSA P-256.',
    remedy: "Use Intel's quoting enclave for TDX.",
  },
  TDX_TEE_TYPE: { status: refused, summary: 'The quote is not of a TDX trust domain.', remedy: asIs },
  TDX_QE_VENDOR: {
    status: refused,
    summary: 'The quoting enclave is not of Intel.',
    remedy: "Use Intel's quoting enclave for TDX.",
  },
  TDX_BODY_TYPE: {
    status: refused,
    summary: 'The body of the quote is not a report of TDX 1.0 or 1.5.',
    remedy: asIs,
  },
  TDX_CERTIFICATION_DATA: {
    status: refused,
    summary: 'The quote does not carry the report of the quoting enclave with the chain of its certificate.',
    remedy: 'Register the platform, so that its quotes carry the PCK certificate chain (type 5).',
  },
  TDX_TRAILING_BYTES: {
    status: malformed,
    summary: 'Bytes other than zeros follow the quote.',
    remedy: asIs,
  },

  TDX_CERTIFICATE_UNREADABLE: {
    status: malformed,
    summary: 'A certificate cannot be read, or the chain in the quote is not plain PEM.',
    remedy: intelChain,
  },
  TDX_CERTIFICATES_EXCESSIVE: {
    status: malformed,
    summary: 'There are more certificates than a verification can need.',
    remedy: intelChain,
  },
  TDX_CHAIN_INCOMPLETE: {
    status: refused,
    summary: 'A certificate of the chain is missing.',
    remedy: intelChain,
  },
  TDX_ROOT_UNTRUSTED: {
    status: refused,
    summary: "The root of the chain is not Intel's.",
    remedy:
      'Use real hardware; where devices are simulated, the root must be configured under simulated_roots.',
  },
  TDX_CHAIN_BROKEN: {
    status: refused,
    summary: 'A certificate was not issued by the one above it.',
    remedy: intelChain,
  },
  TDX_CHAIN_SIGNATURE: {
    status: refused,
    summary: 'The signature on a certificate does not hold.',
    remedy: intelChain,
  },
  TDX_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'A certificate has expired.',
    remedy: 'Fetch the certificate anew.',
  },
  TDX_CERTIFICATE_NOT_YET_VALID: {
    status: refused,
    summary: 'A certificate is not valid yet.',
    remedy: 'Check the clock of the verifier.',
  },
  TDX_CERTIFICATE_CONSTRAINTS: {
    status: refused,
    summary: 'A certificate may not be used as it is, or has an unknown critical extension.',
    remedy: intelChain,
  },
  TDX_PCK_EXTENSION: {
    status: refused,
    summary: "The PCK certificate lacks Intel's extension, or a field of it.",
    remedy: intelChain,
  },
  TDX_CRL_MISSING: {
    status: missing,
    summary: 'A certificate revocation list is missing.',
    remedy: "Fetch it from Intel's service, put it into the offline directory, or relax the policy.",
  },
  TDX_CRL_UNREADABLE: {
    status: malformed,
    summary: 'A certificate revocation list cannot be read.',
    remedy: "Give the list as Intel's service serves it, DER.",
  },
  TDX_CRL_ISSUER: {
    status: refused,
    summary: 'A certificate revocation list is of another issuer than the certificates of the chain.',
    remedy: "Give the lists of the Intel SGX Root CA and of the platform's own PCK CA.",
  },
  TDX_CRL_SIGNATURE: {
    status: refused,
    summary: 'The signature on a certificate revocation list does not hold.',
    remedy: refetch,
  },
  TDX_CRL_NOT_YET_VALID: {
    status: refused,
    summary: 'A certificate revocation list is from after the time to verify at.',
    remedy: 'Check the clock of the verifier, or give the list of that time.',
  },
  TDX_CRL_EXPIRED: {
    status: refused,
    summary: 'A certificate revocation list has expired.',
    remedy: refetch,
  },
  TDX_CRL_UNSUPPORTED: {
    status: refused,
    summary: 'A certificate revocation list has a critical extension, so that it may be about other things.',
    remedy: "Give the list as Intel's service serves it.",
  },
  TDX_CERTIFICATE_REVOKED: {
    status: refused,
    summary: 'Intel revoked a certificate of the chain.',
    remedy: 'Do not trust this platform; ask its provider.',
  },

  TDX_QE_REPORT_SIGNATURE: {
    status: refused,
    summary: 'The signature of the platform on the report of its quoting enclave does not hold.',
    remedy: asIs,
  },
  TDX_QE_BINDING: {
    status: refused,
    summary: 'The report of the quoting enclave is about another attestation key.',
    remedy: asIs,
  },
  TDX_QE_DEBUG: {
    status: refused,
    summary: 'The quoting enclave can be debugged.',
    remedy: "Use Intel's quoting enclave as released.",
  },
  TDX_QUOTE_SIGNATURE: {
    status: refused,
    summary: 'The signature of the quote does not hold.',
    remedy: asIs,
  },

  TDX_COLLATERAL_MISSING: {
    status: missing,
    summary: 'The TCB info or the QE identity is missing.',
    remedy: "Fetch it from Intel's service or a PCCS, or put it into the offline directory.",
  },
  TDX_COLLATERAL_SIGNER_MISSING: {
    status: missing,
    summary: 'There is no TCB signing certificate to verify the TCB info or the QE identity with.',
    remedy: "Give the issuer chain that Intel's service serves with them.",
  },
  TDX_COLLATERAL_UNREADABLE: {
    status: malformed,
    summary: 'The TCB info or the QE identity is not one of Intel for TDX.',
    remedy: "Give the documents for TDX byte by byte as Intel's service, version 4, serves them.",
  },
  TDX_COLLATERAL_SIGNATURE: {
    status: refused,
    summary: 'The signature on the TCB info or the QE identity does not hold.',
    remedy: "Give the documents byte by byte as Intel's service serves them.",
  },
  TDX_COLLATERAL_NOT_YET_VALID: {
    status: refused,
    summary: 'The TCB info or the QE identity is from after the time to verify at.',
    remedy: 'Check the clock of the verifier, or give the collateral of that time.',
  },
  TDX_COLLATERAL_EXPIRED: {
    status: refused,
    summary: 'The TCB info or the QE identity has expired.',
    remedy: refetch,
  },
  TDX_TCB_INFO_FMSPC: {
    status: refused,
    summary: 'The TCB info is for platforms with another FMSPC.',
    remedy: "Give the TCB info for the platform's FMSPC.",
  },
  TDX_TCB_INFO_PCE_ID: {
    status: refused,
    summary: 'The TCB info is for another provisioning certification enclave.',
    remedy: "Give the TCB info for the platform's PCE id.",
  },
  TDX_MODULE_UNKNOWN: {
    status: refused,
    summary: 'The TCB info has no identity of the TDX module.',
    remedy: 'Use a TDX module that Intel released, and current collateral.',
  },
  TDX_MODULE_SIGNER: {
    status: refused,
    summary: 'The TDX module has another signer than its identity says.',
    remedy: 'Use a TDX module that Intel released.',
  },
  TDX_MODULE_ATTRIBUTES: {
    status: refused,
    summary: 'The TDX module has other attributes than its identity says, or any at all.',
    remedy: 'Use a TDX module that Intel released.',
  },
  TDX_QE_IDENTITY: {
    status: refused,
    summary: "The quoting enclave is not Intel's for TDX.",
    remedy: "Use Intel's quoting enclave as released.",
  },
  TDX_TCB_UNSUPPORTED: {
    status: refused,
    summary: 'The security versions of the platform are below every level that Intel publishes.',
    remedy: update,
  },

  TDX_REPORT_DATA: {
    status: refused,
    summary: 'The quote is not bound to the expected nonce and key.',
    remedy: 'Answer the challenge with fresh evidence.',
  },
  TDX_TD_ATTRIBUTES_UNKNOWN: {
    status: refused,
    summary: 'The TD has an unknown attribute.',
    remedy: 'Use a release of Muster that knows the attribute.',
  },
  TDX_TCB_STATUS: {
    status: refused,
    summary: "The platform's TCB status is not one that the policy affirms.",
    remedy: update,
  },
  TDX_ADVISORY: {
    status: refused,
    summary: 'An advisory applies to the platform that the policy does not allow.',
    remedy: update,
  },
  TDX_TCB_EVALUATION_NUMBER: {
    status: refused,
    summary: 'The TCB information is from an earlier evaluation than the policy demands.',
    remedy: refetch,
  },
  TDX_FMSPC_NOT_ALLOWED: {
    status: refused,
    summary: "The platform's FMSPC is not among those that the policy allows.",
    remedy: 'Use an allowed kind of platform, or add the FMSPC to the policy.',
  },
  TDX_FMSPC_DENIED: {
    status: refused,
    summary: "The policy denies the platform's FMSPC.",
    remedy: 'Use another kind of platform.',
  },
  TDX_PLATFORM_NOT_ALLOWED: {
    status: refused,
    summary: 'The platform is not among those that the policy allows.',
    remedy: 'Use an allowed machine, or add its PPID or instance id to the policy.',
  },
  TDX_PLATFORM_DENIED: {
    status: refused,
    summary: 'The policy denies this platform.',
    remedy: 'Use another machine.',
  },
  TDX_DEBUG: {
    status: refused,
    summary: 'The host can debug or profile the TD.',
    remedy: 'Launch the TD without debugging and profiling.',
  },
  TDX_MIGRATABLE: {
    status: refused,
    summary: 'The TD can be migrated by a service TD.',
    remedy: relaunch,
  },
  TDX_SEPT_VE_DISABLE: {
    status: refused,
    summary: 'The TD takes exceptions for pages that vanish (SEPT_VE_DISABLE is off).',
    remedy: relaunch,
  },
  TDX_TD_ATTRIBUTES: {
    status: refused,
    summary: 'The attributes of the TD are not among those of the policy.',
    remedy: relaunch,
  },
  TDX_XFAM: {
    status: refused,
    summary: 'The extended features of the TD are not among those of the policy.',
    remedy: relaunch,
  },
  TDX_MRTD: {
    status: refused,
    summary: 'The measurement of the TD at its launch is not a reference value of the policy.',
    remedy: reference,
  },
  TDX_RTMR: {
    status: refused,
    summary: 'A runtime measurement of the TD is not a reference value of the policy.',
    remedy: reference,
  },
  TDX_MRCONFIGID: {
    status: refused,
    summary: 'The configuration id of the TD is not a reference value of the policy.',
    remedy: relaunch,
  },
  TDX_MROWNER: {
    status: refused,
    summary: 'The owner of the TD is not a reference value of the policy.',
    remedy: relaunch,
  },
  TDX_MROWNERCONFIG: {
    status: refused,
    summary: "The owner's configuration of the TD is not a reference value of the policy.",
    remedy: relaunch,
  },
  TDX_MRSEAM: {
    status: refused,
    summary: 'The TDX module is not a reference value of the policy.',
    remedy: 'Use a listed TDX module, or add the value to the policy.',
  },
  TDX_MRSERVICETD: {
    status: refused,
    summary: 'The service TD is not a reference value of the policy.',
    remedy: relaunch,
  },
} as const satisfies Record<string, ReasonEntry>;
