import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';
const missing = 'FAILED_PRECONDITION';

/**
 * The reasons of the namespace x-az-cvm beside those of the TPM's quote and of the hardware below.
 * docs/namespaces/x-az-cvm.md explains them.
 */
export const azureCvmReasons = {
  AZ_EVIDENCE_UNREADABLE: {
    status: malformed,
    summary: 'The evidence is not the JSON of an Azure confidential VM.',
    remedy: 'Send the JSON that docs/namespaces/x-az-cvm.md describes.',
  },
  AZ_HCL_REPORT: {
    status: malformed,
    summary: 'The HCL report is malformed, or names no attestation key.',
    remedy: 'Send the content of the NV index 0x01400001 of the vTPM as it is.',
  },
  AZ_RUNTIME_DATA: {
    status: refused,
    summary:
      "The runtime data, with the vTPM's attestation key, is not what the hardware's report is bound to.",
    remedy: 'Read the HCL report again, and have the hardware report made for it.',
  },
  AZ_TEE_NOT_ALLOWED: {
    status: refused,
    summary: 'The policy does not allow the hardware below the VM.',
    remedy: 'Use a size of VM with hardware that the policy lists under tees, or list it.',
  },
  AZ_TD_QUOTE_MISSING: {
    status: missing,
    summary: 'The HCL report is of a TDX machine, and there is no TD quote.',
    remedy: "Have the TD quote made by the machine's metadata service, and send it with the evidence.",
  },
  AZ_SECURE_BOOT: {
    status: refused,
    summary: 'The VM was started without secure boot.',
    remedy: 'Enable secure boot for the VM, or relax require_secure_boot.',
  },
  AZ_CONSOLE: {
    status: refused,
    summary: 'The serial console of the VM is enabled.',
    remedy: 'Disable it, or allow it by the field console.',
  },
} as const satisfies Record<string, ReasonEntry>;
