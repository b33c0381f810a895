import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';
const missing = 'FAILED_PRECONDITION';

const updateFirmware = "Update the host's firmware, then restart the VM; or lower the minimum in the policy.";
const hostSetting = 'Ask the provider of the host for this setting, or relax the policy.';

/** The reasons of the namespace x-snp. docs/namespaces/x-snp.md explains them. */
export const snpReasons = {
  SNP_CLOCK_INVALID: {
    status: malformed,
    summary: 'The time to verify at is not a valid date.',
    remedy: 'Verify at a valid date.',
  },
  SNP_REPORT_LENGTH: {
    status: malformed,
    summary: 'An SEV-SNP attestation report has exactly 1184 bytes.',
    remedy: "Send the device's report as it is.",
  },
  SNP_REPORT_VERSION: {
    status: refused,
    summary: 'The version of the report is not known.',
    remedy:
      'Use a platform whose reports have version 2, 3 or 5, or a release of Muster that knows the version.',
  },
  SNP_SIGNATURE_ALGORITHM: {
    status: refused,
    summary: 'The signature algorithm of the report is not ECDSA P-384 with SHA-384.',
    remedy: "Send the device's report as it is.",
  },
  SNP_SIGNING_KEY: {
    status: refused,
    summary: 'The report is signed neither by a VCEK nor by a VLEK.',
    remedy: 'Have the host stop masking the chip key.',
  },
  SNP_GUEST_POLICY: {
    status: refused,
    summary: 'The guest policy in the report has an unknown bit, or lacks the bit that is always one.',
    remedy: 'Launch the VM with a guest policy that this release of Muster knows.',
  },
  SNP_PLATFORM_INFO: {
    status: refused,
    summary: 'The platform information in the report has an unknown bit.',
    remedy: 'Use a release of Muster that knows the bit.',
  },
  SNP_RESERVED_NOT_ZERO: {
    status: refused,
    summary: 'A reserved field of the report is not zero.',
    remedy: "Send the device's report as it is, or use a release of Muster that knows the field.",
  },
  SNP_PRODUCT_UNKNOWN: {
    status: refused,
    summary: 'The processor is of no product line that is known to offer SEV-SNP.',
    remedy: 'Use a Milan, Genoa or Turin processor.',
  },

  SNP_CERTIFICATE_TABLE: {
    status: malformed,
    summary: 'The certificate table beside the report is malformed.',
    remedy: 'Load the certificates into the host again, or leave the table out.',
  },
  SNP_CERTIFICATE_UNREADABLE: {
    status: malformed,
    summary: 'A certificate cannot be read.',
    remedy: 'Give certificates as DER or PEM, as AMD issued them.',
  },
  SNP_CERTIFICATES_EXCESSIVE: {
    status: malformed,
    summary: 'There are more certificates than a verification can need.',
    remedy: "Give the chip's certificate, its ASK or ASVK, and the ARK.",
  },
  SNP_CHIP_CERTIFICATE_MISSING: {
    status: missing,
    summary: 'There is no VCEK or VLEK to verify the report with.',
    remedy:
      "Load it into the host's certificate table, fetch it from AMD, or put it into the offline directory.",
  },
  SNP_INTERMEDIATE_MISSING: {
    status: missing,
    summary: 'There is no ASK or ASVK to verify the chip certificate with.',
    remedy: "Fetch the product's cert_chain from AMD, or put it into the offline directory.",
  },
  SNP_ROOT_MISSING: {
    status: missing,
    summary: 'There is no ARK to verify the chain with.',
    remedy: "Fetch the product's cert_chain from AMD, or put it into the offline directory.",
  },
  SNP_ROOT_UNTRUSTED: {
    status: refused,
    summary: "The root is not AMD's: its key is not pinned.",
    remedy: "Use AMD's chain; a simulated device needs simulated_roots in the configuration of the verifier.",
  },
  SNP_ROOT_PRODUCT: {
    status: refused,
    summary: "The root is AMD's, but of another product.",
    remedy: "Use the chain of the report's own product.",
  },
  SNP_CERTIFICATE_CONSTRAINTS: {
    status: refused,
    summary: 'A certificate of the chain may not be used as it is, or has an unknown critical extension.',
    remedy: 'Use certificates as AMD issued them.',
  },
  SNP_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'A certificate of the chain has expired.',
    remedy: 'Fetch a current certificate from AMD or from the provider.',
  },
  SNP_CERTIFICATE_NOT_YET_VALID: {
    status: refused,
    summary: 'A certificate of the chain is not valid yet.',
    remedy: "Check the verifier's clock.",
  },
  SNP_CHAIN_BROKEN: {
    status: refused,
    summary: 'A certificate of the chain was not issued by the one above it.',
    remedy: "Use the chip's certificate with the ASK or ASVK and the ARK that AMD serves for it.",
  },
  SNP_CHAIN_SIGNATURE: {
    status: refused,
    summary: 'A signature in the certificate chain does not hold.',
    remedy: 'Use certificates as AMD issued them.',
  },
  SNP_SIGNER_MISMATCH: {
    status: refused,
    summary: 'The report names another kind of signing key than the certificate.',
    remedy: 'Use a VCEK for a report signed by a VCEK, and a VLEK for one signed by a VLEK.',
  },
  SNP_CERTIFICATE_KEY: {
    status: refused,
    summary: 'The key of the chip certificate is not on the curve P-384.',
    remedy: 'Use the chip certificate as AMD issued it.',
  },
  SNP_CERTIFICATE_EXTENSION: {
    status: refused,
    summary: 'The chip certificate lacks an extension, or has one that it may not have.',
    remedy: 'Use the chip certificate as AMD issued it.',
  },
  SNP_CERTIFICATE_PRODUCT: {
    status: refused,
    summary: 'The chip certificate is for another product.',
    remedy: "Use the certificate of the report's own chip.",
  },
  SNP_CERTIFICATE_CHIP: {
    status: refused,
    summary: 'The chip certificate is for another chip.',
    remedy: "Use the certificate of the report's own chip; with a VCEK the host must not mask the chip id.",
  },
  SNP_CERTIFICATE_TCB: {
    status: refused,
    summary: 'The chip certificate is for another TCB than the report names.',
    remedy: "Fetch the certificate for the report's TCB; the host's table may be older than its firmware.",
  },
  SNP_REPORT_SIGNATURE: {
    status: refused,
    summary: "The report's signature does not hold.",
    remedy: "Send the device's report as it is.",
  },

  SNP_CRL_MISSING: {
    status: missing,
    summary: 'There is no certificate revocation list, and the policy requires one.',
    remedy:
      "Let the verifier reach AMD's service, put the list into the offline directory, or set revocation: optional.",
  },
  SNP_CRL_UNREADABLE: {
    status: malformed,
    summary: 'The certificate revocation list cannot be read.',
    remedy: "Give the list as DER, as AMD's service has it.",
  },
  SNP_CRL_ISSUER: {
    status: refused,
    summary: "The certificate revocation list is not by the chain's root.",
    remedy: "Use the list of the report's product.",
  },
  SNP_CRL_SIGNATURE: {
    status: refused,
    summary: 'The signature of the certificate revocation list does not hold.',
    remedy: "Use the list as AMD's service has it.",
  },
  SNP_CRL_NOT_YET_VALID: {
    status: refused,
    summary: 'The certificate revocation list is from the future.',
    remedy: "Check the verifier's clock.",
  },
  SNP_CRL_EXPIRED: {
    status: refused,
    summary: 'The certificate revocation list is out of date.',
    remedy: "Fetch a current list from AMD's service.",
  },
  SNP_CRL_UNSUPPORTED: {
    status: refused,
    summary: 'The certificate revocation list has a critical extension that is not known.',
    remedy: 'Use a release of Muster that knows it.',
  },
  SNP_CERTIFICATE_REVOKED: {
    status: refused,
    summary: 'AMD revoked a certificate of the chain.',
    remedy: 'Replace or update the platform as AMD advises.',
  },

  SNP_REPORT_DATA: {
    status: refused,
    summary: 'The report is not bound to the expected nonce and key.',
    remedy: 'Answer the latest challenge with a fresh report.',
  },
  SNP_TCB_RESERVED: {
    status: refused,
    summary: "A TCB version in the report does not have its product's layout.",
    remedy: "Send the device's report as it is.",
  },
  SNP_TCB_INCONSISTENT: {
    status: refused,
    summary: 'The TCB or firmware versions in the report contradict each other.',
    remedy: "Have the host's firmware updated and committed.",
  },
  SNP_PRODUCT_NOT_ALLOWED: {
    status: refused,
    summary: 'The policy does not allow this product.',
    remedy: 'Use a product that the policy allows.',
  },
  SNP_PRODUCT_DENIED: {
    status: refused,
    summary: 'The policy denies this product.',
    remedy: 'Use a product that the policy does not deny.',
  },
  SNP_CHIP_NOT_ALLOWED: {
    status: refused,
    summary: "The chip is not on the policy's list.",
    remedy: 'Add the chip id to chips.allow. A VLEK hides the chip, so that no list can hold it.',
  },
  SNP_CHIP_DENIED: {
    status: refused,
    summary: 'The policy denies this chip.',
    remedy: 'Use another machine.',
  },
  SNP_SIGNING_KEY_NOT_ALLOWED: {
    status: refused,
    summary: "The policy does not allow the kind of the report's signing key.",
    remedy: 'Use a host that signs with an allowed key, or extend signing_keys in the policy.',
  },
  SNP_VMPL: {
    status: refused,
    summary: 'The report is for a privilege level (VMPL) that the policy does not allow.',
    remedy: 'Request the report at an allowed level, or extend vmpl in the policy.',
  },
  SNP_DEBUG: {
    status: refused,
    summary: 'The host may debug the VM: its memory is not secret.',
    remedy: 'Launch the VM with a guest policy that forbids debugging.',
  },
  SNP_MIGRATION_AGENT: {
    status: refused,
    summary: 'The VM may be associated with a migration agent.',
    remedy: 'Launch the VM with a guest policy that forbids it, or set migration_agent: true.',
  },
  SNP_MEASUREMENT_UNKNOWN: {
    status: refused,
    summary: 'The launch measurement is not a reference value of the policy.',
    remedy: 'Run the image that the policy expects, or add its measurement.',
  },
  SNP_HOST_DATA: {
    status: refused,
    summary: 'The host data is not a reference value of the policy.',
    remedy: 'Launch the VM with the host data that the policy expects.',
  },
  SNP_ID_KEY: {
    status: refused,
    summary: "The VM's id key is not one that the policy trusts.",
    remedy: 'Launch the VM with an id block signed by a trusted key.',
  },
  SNP_AUTHOR_KEY: {
    status: refused,
    summary: "The VM's author key is absent or not one that the policy trusts.",
    remedy: 'Launch the VM with an id key that a trusted author key certifies.',
  },
  SNP_GUEST_SVN: {
    status: refused,
    summary: "The guest's security version is below the policy's minimum.",
    remedy: 'Run a newer image.',
  },
  SNP_TCB_BELOW_MINIMUM: {
    status: refused,
    summary: "The reported TCB is below the policy's minimum.",
    remedy: updateFirmware,
  },
  SNP_LAUNCH_TCB_BELOW_MINIMUM: {
    status: refused,
    summary: "The VM was launched on a TCB below the policy's minimum.",
    remedy: updateFirmware,
  },
  SNP_FIRMWARE_BELOW_MINIMUM: {
    status: refused,
    summary: "The committed SEV-SNP firmware is older than the policy's minimum.",
    remedy: updateFirmware,
  },
  SNP_SMT: {
    status: refused,
    summary: 'The host runs with simultaneous multi-threading, which the policy does not allow.',
    remedy: hostSetting,
  },
  SNP_ALIAS_CHECK: {
    status: refused,
    summary: 'The host did not check its memory for aliases at boot (BadRAM).',
    remedy: updateFirmware,
  },
  SNP_ECC: {
    status: refused,
    summary: 'The host has no ECC memory, which the policy requires.',
    remedy: hostSetting,
  },
  SNP_TSME: {
    status: refused,
    summary: 'The host does not encrypt all of its memory (TSME), which the policy requires.',
    remedy: hostSetting,
  },
  SNP_RAPL: {
    status: refused,
    summary: 'The host can read the power meter (RAPL), which the policy forbids.',
    remedy: hostSetting,
  },
  SNP_CIPHERTEXT_HIDING: {
    status: refused,
    summary: 'The host can read ciphertext of the memory, which the policy forbids.',
    remedy: hostSetting,
  },
  SNP_SINGLE_SOCKET: {
    status: refused,
    summary: 'The VM may run on more than one socket, which the policy forbids.',
    remedy: 'Launch the VM with a guest policy that demands a single socket.',
  },
} as const satisfies Record<string, ReasonEntry>;
