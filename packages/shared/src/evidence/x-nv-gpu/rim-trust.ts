import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import { select } from '../select.js';
import type { VendorCertificate } from '../x509.js';
import { chainFault, type ChainFault } from './chain.js';
import { readRim, type ReadRim, type Rim, type RimReading } from './rim.js';

/** SHA-256 over the public key of "NVIDIA CoRIM signing Root CA". */
export const rimRoot = 'dec1dc316477aa851eebdf51327ae9f864bc8d89254657ed1e7eb9168af1e1a3';

/** A manifest that is NVIDIA's, and current. */
export interface TrustedRim {
  readonly rim: Rim;
  /** The signer's certificate first. */
  readonly chain: readonly VendorCertificate[];
  readonly simulated: boolean;
}

/** What manifests are trusted by. */
export interface RimTrust {
  readonly at: Date;
  readonly simulatedRoots: readonly string[];
  /** The common names of allowed signers; undefined allows every one. */
  readonly signers?: readonly string[] | undefined;
}

/** The manifests at hand, and what all devices of the machine name, by {@link demandKey}. */
export interface RimsAtHand {
  readonly rims: readonly RimReading[];
  readonly demanded: ReadonlySet<string>;
}

/** The manifests for one slot of a device: usable ones, or why there is none. */
export type RimSlot =
  | { readonly rims: readonly [TrustedRim, ...TrustedRim[]] }
  | { readonly reason: Reason; readonly missing: boolean };

/** What a device's manifest must be. */
export interface RimDemand {
  readonly kind: Rim['kind'];
  /** The version that the report names. */
  readonly version: string;
}

/** A demand as a key of sets. */
export function demandKey({ kind, version }: RimDemand): string {
  return `${kind} ${version}`;
}

const codes: Readonly<Record<ChainFault['kind'], ReasonCode>> = {
  root: 'NV_RIM_ROOT_UNTRUSTED',
  broken: 'NV_RIM_CHAIN',
  signature: 'NV_RIM_CHAIN',
  expired: 'NV_RIM_CERTIFICATE_EXPIRED',
  'not-yet-valid': 'NV_RIM_CERTIFICATE_NOT_YET_VALID',
  constraints: 'NV_RIM_CHAIN',
  key: 'NV_RIM_CHAIN',
};

const forgeryCodes: ReadonlySet<ReasonCode> = new Set([
  'NV_RIM_ROOT_UNTRUSTED',
  'NV_RIM_CHAIN',
  'NV_RIM_SIGNATURE',
]);

/**
 * Finds the manifests that fit a demand and are to be trusted. One that does not fit never hides one that does; where
 * none fits, the reason is of the one that came furthest. Those for other devices of the machine are left alone.
 */
export function findRims(
  { kind, version }: RimDemand,
  { rims, demanded }: RimsAtHand,
  trust: RimTrust,
): RimSlot {
  const what = kind === 'driver' ? 'driver' : 'firmware';
  const own = demandKey({ kind, version });
  const readings = rims.filter((reading) => {
    const key = 'claimed' in reading ? demandKey(reading.claimed) : own;
    return key === own || !demanded.has(key);
  });
  const candidates = readings.filter((reading) => 'claimed' in reading && reading.claimed.kind === kind);
  const current = select(candidates, [
    (reading) =>
      'claimed' in reading && reading.claimed.version === version ? undefined : versionReason(what, version),
  ]);
  const outcomes = current.passed.map((reading) => trustRim(reading, trust));
  const [first, ...rest] = outcomes.filter(
    (outcome) => 'rim' in outcome && outcome.rim.kind === kind && outcome.rim.version === version,
  ) as TrustedRim[];
  if (first !== undefined) return { rims: [first, ...rest] };
  const failure =
    outcomes.find((outcome) => 'code' in outcome) ?? current.failure ?? forgery(readings, trust);
  if (failure !== undefined) return { reason: failure, missing: false };
  const message = `There is no reference integrity manifest for the ${what} ${version}.`;
  return { reason: reason('NV_RIM_MISSING', { message }), missing: true };
}

/** A forged manifest at hand: where one is missing, it may have been meant to be that one. */
function forgery(readings: readonly RimReading[], trust: RimTrust): Reason | undefined {
  const reasons = readings.map((reading) => trustRim(reading, trust)).filter((outcome) => 'code' in outcome);
  return reasons.find(({ code }) => forgeryCodes.has(code));
}

/** Verifies one manifest by itself: its form, its certificates up to the pinned root, its signature and its signer. */
export function verifyRim(bytes: Uint8Array, trust: RimTrust): TrustedRim | Reason {
  return trustRim(readRim(bytes), trust);
}

function trustRim(reading: RimReading, { at, simulatedRoots, signers }: RimTrust): TrustedRim | Reason {
  if ('reason' in reading) return reading.reason;
  const { chain }: ReadRim = reading;
  const isSimulated = ({ fingerprint }: VendorCertificate): boolean => simulatedRoots.includes(fingerprint);
  const fault = chainFault(chain, {
    at,
    isTrusted: (root) => root.fingerprint === rimRoot || isSimulated(root),
  });
  if (fault !== undefined) return faultReason(fault);
  const rim = reading.signed();
  if ('code' in rim) return rim;
  const signer = chain[0]?.commonName ?? '';
  if (signers?.includes(signer) === false) {
    return reason('NV_RIM_SIGNER', { message: `The manifest is signed by "${signer}".` });
  }
  return { rim, chain, simulated: chain.some(isSimulated) };
}

function faultReason({ kind, certificate: { commonName, notAfter, notBefore } }: ChainFault): Reason {
  const messages: Partial<Record<ChainFault['kind'], string>> = {
    expired: `The manifest's certificate "${commonName}" expired at ${notAfter.toISOString()}.`,
    'not-yet-valid': `The manifest's certificate "${commonName}" is valid from ${notBefore.toISOString()}.`,
  };
  const message = messages[kind];
  return reason(codes[kind], message === undefined ? {} : { message });
}

function versionReason(what: string, version: string): Reason {
  return reason('NV_RIM_VERSION', {
    message: `The report names the ${what} ${version}; the manifest is of another version.`,
  });
}
