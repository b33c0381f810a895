import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import { parseCertificate, type VendorCertificate } from '../x509.js';
import { chainFault, type ChainFault } from './chain.js';

/**
 * SHA-256 over the public key of "NVIDIA Device Identity CA", whose certificate has the SHA-256
 * 102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48.
 */
export const deviceRoot = 'a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4';

/** Root, architecture, provisioner, device, and the firmware that runs on it. */
const chainLength = 5;

/** The architectures whose reports are understood. */
export const architectures = ['hopper', 'blackwell', 'ls10'] as const;
export type Architecture = (typeof architectures)[number];

/** A device whose certificate chain holds. */
export interface ProvenDevice {
  /** The certificate whose key signs reports first, the root last. */
  readonly chain: readonly [VendorCertificate, VendorCertificate, ...VendorCertificate[]];
  /** For example `GH100`. */
  readonly chip: string;
  readonly architecture: Architecture;
  /** The serial number of the device's own certificate, hex: it stays the same for the life of the device. */
  readonly id: string;
  readonly simulated: boolean;
}

const codes: Readonly<Record<ChainFault['kind'], ReasonCode>> = {
  root: 'NV_ROOT_UNTRUSTED',
  broken: 'NV_CHAIN_BROKEN',
  signature: 'NV_CHAIN_SIGNATURE',
  expired: 'NV_CERTIFICATE_EXPIRED',
  'not-yet-valid': 'NV_CERTIFICATE_NOT_YET_VALID',
  constraints: 'NV_CERTIFICATE_CONSTRAINTS',
  key: 'NV_CERTIFICATE_CONSTRAINTS',
};

/**
 * Proves that a chain is of a genuine device: five certificates from the one that signs reports to the pinned root, and
 * the chip of the device's own certificate is a known one.
 */
export function proveDevice(
  certificates: readonly Uint8Array[],
  { at, simulatedRoots }: { readonly at: Date; readonly simulatedRoots: readonly string[] },
): ProvenDevice | Reason {
  if (certificates.length === 0) return reason('NV_CHAIN_MISSING');
  if (certificates.length !== chainLength) {
    return reason('NV_CHAIN_LENGTH', {
      message: `The device's certificate chain has ${certificates.length} certificates instead of five.`,
    });
  }
  const chain = certificates.flatMap((der) => parseCertificate(der) ?? []);
  const [leaf, device, ...issuers] = chain;
  if (leaf === undefined || device === undefined || chain.length < chainLength) {
    return reason('NV_CERTIFICATE_UNREADABLE');
  }
  const isSimulated = ({ fingerprint }: VendorCertificate): boolean => simulatedRoots.includes(fingerprint);
  const fault = chainFault(chain, {
    at,
    isTrusted: (root) => root.fingerprint === deviceRoot || isSimulated(root),
  });
  if (fault !== undefined) return faultReason(fault);
  const chip = chipOf(chain);
  const architecture = architectureOf(chip);
  if (architecture === undefined) {
    return reason('NV_ARCHITECTURE_UNKNOWN', {
      message: `The device is "${device.commonName}", whose architecture is not known.`,
    });
  }
  return {
    chain: [leaf, device, ...issuers],
    chip,
    architecture,
    id: device.serial,
    simulated: issuers.some(isSimulated),
  };
}

/**
 * The chip that a device's own certificate names, as in `GH100 A01 GSP BROM`, or one that issued it, as in
 * `NVIDIA GH100 Identity`; empty when none does.
 */
export function chipOf(chain: readonly VendorCertificate[]): string {
  const found = chain
    .slice(1)
    .map(({ commonName }) => /\b(?:GH\d{3}|GB\d{3}|LS_?10)\b/.exec(commonName)?.[0]);
  return found.find((chip) => chip !== undefined)?.replace('_', '') ?? '';
}

function faultReason({ kind, certificate: { commonName, notAfter, notBefore } }: ChainFault): Reason {
  const messages: Partial<Record<ChainFault['kind'], string>> = {
    expired: `The certificate "${commonName}" expired at ${notAfter.toISOString()}.`,
    'not-yet-valid': `The certificate "${commonName}" is valid from ${notBefore.toISOString()}.`,
    broken: `The certificate "${commonName}" was not issued by the one above it.`,
    signature: `The signature on the certificate "${commonName}" does not hold.`,
  };
  const message = messages[kind];
  return reason(codes[kind], message === undefined ? {} : { message });
}

function architectureOf(chip: string): Architecture | undefined {
  if (chip.startsWith('GH')) return 'hopper';
  if (chip.startsWith('GB')) return 'blackwell';
  return chip === 'LS10' ? 'ls10' : undefined;
}
