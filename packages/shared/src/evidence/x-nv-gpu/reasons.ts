import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';
const missing = 'FAILED_PRECONDITION';

const asItIs = "Send the device's evidence as it is.";
const chainAsItIs = "Send the device's certificate chain as it is: five certificates, the device's first.";
const freshRim = 'Fetch the manifest from NVIDIA again; if it stays so, update the driver or the firmware.';
const freshOcsp = "Fetch the response from NVIDIA's OCSP service again.";

/** The reasons of the namespace x-nv-gpu. docs/namespaces/x-nv-gpu.md explains them. */
export const nvReasons = {
  NV_CONFIDENTIAL_COMPUTING_OFF: {
    status: refused,
    summary: 'The site itself says that confidential computing is off on its GPUs.',
    remedy: 'Turn it on at the host, and restart the VM; docs/namespaces/x-nv-gpu.md tells how to see it.',
  },
  NV_CLOCK_INVALID: {
    status: malformed,
    summary: 'The time to verify at is not a valid date.',
    remedy: 'Verify at a valid date.',
  },
  NV_EVIDENCE_FORMAT: {
    status: malformed,
    summary: 'The evidence is neither an SPDM report nor a document with reports.',
    remedy: "Send the attester's document, the JSON of nvattest, or one report, binary or in hex.",
  },
  NV_REPORT_MALFORMED: {
    status: malformed,
    summary: 'The report is no well-formed pair of an SPDM request and its response.',
    remedy: asItIs,
  },
  NV_REPORT_VERSION: {
    status: refused,
    summary: 'The report is of an SPDM version that is not known.',
    remedy:
      'Use a device whose reports have SPDM version 1.1, or a release of Muster that knows the version.',
  },
  NV_REPORT_REQUEST: {
    status: refused,
    summary: 'The report does not answer a request for signed measurements.',
    remedy: asItIs,
  },
  NV_ARCHITECTURE_UNKNOWN: {
    status: refused,
    summary: 'The device is of an architecture that is not known.',
    remedy: 'Use a Hopper or Blackwell GPU or an LS10 switch, or a release of Muster that knows the device.',
  },

  NV_CHAIN_MISSING: {
    status: missing,
    summary: "The device's certificate chain is missing.",
    remedy: "Give the chain that the device delivers beside its report: '--cert', or within the JSON.",
  },
  NV_CHAIN_LENGTH: {
    status: refused,
    summary: "The device's certificate chain does not have five certificates.",
    remedy: chainAsItIs,
  },
  NV_CERTIFICATE_UNREADABLE: {
    status: malformed,
    summary: 'A certificate of the device is not readable.',
    remedy: chainAsItIs,
  },
  NV_ROOT_UNTRUSTED: {
    status: refused,
    summary: "The device's certificate chain does not end in NVIDIA's pinned root.",
    remedy: 'Use genuine hardware; a simulated root is trusted only by configuration.',
  },
  NV_CHAIN_BROKEN: {
    status: refused,
    summary: 'A certificate of the device was not issued by the one above it.',
    remedy: chainAsItIs,
  },
  NV_CHAIN_SIGNATURE: {
    status: refused,
    summary: 'The signature on a certificate of the device does not hold.',
    remedy: chainAsItIs,
  },
  NV_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'A certificate of the device has expired.',
    remedy: "Have the device's certificates renewed, or check the clock.",
  },
  NV_CERTIFICATE_NOT_YET_VALID: {
    status: refused,
    summary: 'A certificate of the device is not valid yet.',
    remedy: 'Check the clock.',
  },
  NV_CERTIFICATE_CONSTRAINTS: {
    status: refused,
    summary: 'A certificate of the device may not be used as it is.',
    remedy: chainAsItIs,
  },
  NV_REPORT_SIGNATURE: {
    status: refused,
    summary: 'The signature of the report does not hold.',
    remedy: asItIs,
  },
  NV_NONCE: {
    status: refused,
    summary: 'The report answers another nonce.',
    remedy: 'Collect fresh evidence for this challenge, after the evidence of the CPU.',
  },
  NV_FWID_MISSING: {
    status: refused,
    summary:
      'The report or the device certificate does not name the firmware that the device was started with.',
    remedy: "Update the driver and the device's firmware.",
  },
  NV_FWID_MISMATCH: {
    status: refused,
    summary: 'The device was started with other firmware than its certificate was issued for.',
    remedy: 'Reset the device; if it stays so, do not trust it.',
  },

  NV_OCSP_MISSING: {
    status: missing,
    summary: 'There is no OCSP response for a certificate that the policy wants checked.',
    remedy: "Let the verifier reach NVIDIA's OCSP service, or provide the responses from a directory.",
  },
  NV_OCSP_UNREADABLE: {
    status: malformed,
    summary: 'An OCSP response is not readable, or says that the service failed.',
    remedy: freshOcsp,
  },
  NV_OCSP_SIGNATURE: {
    status: refused,
    summary: 'An OCSP response is not signed by a responder of the issuer.',
    remedy: freshOcsp,
  },
  NV_OCSP_EXPIRED: {
    status: refused,
    summary: 'An OCSP response is out of date.',
    remedy: freshOcsp,
  },
  NV_OCSP_NOT_YET_VALID: {
    status: refused,
    summary: 'An OCSP response is from the future.',
    remedy: 'Check the clock.',
  },
  NV_OCSP_UNKNOWN: {
    status: refused,
    summary: 'The OCSP responder does not know a certificate.',
    remedy: 'Use genuine hardware and manifests.',
  },
  NV_CERTIFICATE_REVOKED: {
    status: refused,
    summary: 'NVIDIA revoked a certificate.',
    remedy: 'Replace the device, or update the driver or firmware whose manifest is concerned.',
  },

  NV_RIM_MISSING: {
    status: missing,
    summary: 'There is no reference integrity manifest for the driver or the firmware of the device.',
    remedy: "Let the verifier reach NVIDIA's RIM service, or provide the manifests: '--rim', or a directory.",
  },
  NV_RIM_MALFORMED: {
    status: malformed,
    summary: 'A reference integrity manifest is malformed.',
    remedy: freshRim,
  },
  NV_RIM_EXCESSIVE: {
    status: refused,
    summary: 'There are too many reference integrity manifests.',
    remedy: 'Provide those of the drivers and the firmware in use.',
  },
  NV_RIM_VERSION: {
    status: refused,
    summary: 'The reference integrity manifest is of another version.',
    remedy: 'Provide the manifests of exactly the versions that the report names.',
  },
  NV_RIM_ROOT_UNTRUSTED: {
    status: refused,
    summary: "The certificates of the manifest do not end in NVIDIA's pinned root for manifests.",
    remedy: freshRim,
  },
  NV_RIM_CHAIN: {
    status: refused,
    summary: 'The certificates of the manifest do not form a chain.',
    remedy: freshRim,
  },
  NV_RIM_CERTIFICATE_EXPIRED: {
    status: refused,
    summary: 'A certificate of the manifest has expired.',
    remedy: freshRim,
  },
  NV_RIM_CERTIFICATE_NOT_YET_VALID: {
    status: refused,
    summary: 'A certificate of the manifest is not valid yet.',
    remedy: 'Check the clock.',
  },
  NV_RIM_SIGNATURE: {
    status: refused,
    summary: 'The signature of the manifest does not hold, or does not cover the whole of it.',
    remedy: freshRim,
  },
  NV_RIM_SIGNER: {
    status: refused,
    summary: "The manifest's signer is not one that the policy allows.",
    remedy: 'Use a driver and firmware whose manifests are signed for production, or change rim_signers.',
  },
  NV_RIM_OVERLAP: {
    status: refused,
    summary: 'The manifests of driver and firmware claim the same measurement.',
    remedy: freshRim,
  },
  NV_NVDEC0_STATUS: {
    status: refused,
    summary: 'The report does not say whether measurement 35 counts.',
    remedy: "Update the driver and the device's firmware.",
  },
  NV_MEASUREMENT_MISMATCH: {
    status: refused,
    summary: 'The measurements of the device are not those of the manifests.',
    remedy:
      'Install genuine driver and firmware of these versions, and turn debugging and developer tools off.',
  },

  NV_TOPOLOGY: {
    status: refused,
    summary: 'GPUs and switches are not linked to each other alone.',
    remedy: 'Collect the evidence of all GPUs and switches of one machine, or change topology in the policy.',
  },
  NV_DEVICE_REPEATED: {
    status: refused,
    summary: 'The evidence of one device is there twice.',
    remedy: 'Collect the evidence of each device once.',
  },
  NV_DEVICE_COUNT: {
    status: refused,
    summary: 'The number of devices is not what the policy wants.',
    remedy: 'Attach the devices that the site is meant to have, or change gpus or switches in the policy.',
  },
  NV_DEVICE_DENIED: {
    status: refused,
    summary: 'The policy denies this device.',
    remedy: 'Replace the device, or remove it from devices.deny.',
  },
  NV_DEVICE_NOT_ALLOWED: {
    status: refused,
    summary: 'The device is not among those that the policy allows.',
    remedy: 'Add the device to devices.allow, if it is yours.',
  },
  NV_ARCHITECTURE_NOT_ALLOWED: {
    status: refused,
    summary: 'The architecture of the device is not one that the policy allows.',
    remedy: 'Use another device, or change architectures in the policy.',
  },
  NV_CHIP_NOT_ALLOWED: {
    status: refused,
    summary: 'The chip of the device is not one that the policy allows.',
    remedy: 'Use another device, or change chips in the policy.',
  },
  NV_DRIVER_BELOW_MINIMUM: {
    status: refused,
    summary: 'The driver is older than the policy allows.',
    remedy: 'Update the driver, or lower minimum_driver.',
  },
  NV_FIRMWARE_BELOW_MINIMUM: {
    status: refused,
    summary: 'The firmware of the device is older than the policy allows.',
    remedy: "Update the device's firmware, or lower minimum_firmware.",
  },
  NV_DEVTOOLS: {
    status: refused,
    summary: 'The driver runs in developer tools mode, in which the GPU can be observed.',
    remedy: 'Turn developer tools mode off, and restart the GPU.',
  },
  NV_PROTECTED_PCIE: {
    status: refused,
    summary: 'Protected PCIe is not as the policy wants it.',
    remedy: 'Change the mode of the GPUs, or protected_pcie in the policy.',
  },
  NV_MODE_INVALID: {
    status: refused,
    summary: "The report's protected PCIe status or feature flag has a value that is not known.",
    remedy: 'Use a release of Muster that knows the value.',
  },
} as const satisfies Record<string, ReasonEntry>;
