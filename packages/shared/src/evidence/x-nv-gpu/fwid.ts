import { Constructed, fromBER, ObjectIdentifier, OctetString, Sequence } from 'asn1js';
import { perObject } from '../../memo.js';
import { attempt, type VendorCertificate } from '../x509.js';

/** TCG DICE, DiceTcbInfo: a sequence of firmware identifiers among other things. Blackwell has it. */
const tcbInfoOid = '2.23.133.5.4.1.1';
/** TCG DICE, CompositeDeviceID: ends in the digest of the firmware identifier. Hopper and its switches have it. */
const compositeDeviceIdOid = '2.23.133.5.4.1';
const sha384Oid = '2.16.840.1.101.3.4.2.2';
/** Length of a SHA-384 digest, bytes. */
const fwidLength = 48;
/** `[6] IMPLICIT SEQUENCE OF FWID` in DiceTcbInfo. */
const fwidsTag = 6;

/**
 * The digest of the firmware that a device certificate was issued for; undefined when it names none. For a certificate
 * whose chain holds.
 */
export const certificateFwid = perObject(({ extensions }: VendorCertificate): Uint8Array | undefined => {
  const tcbInfo = extensions.get(tcbInfoOid);
  if (tcbInfo !== undefined) return readTcbInfo(tcbInfo);
  const composite = extensions.get(compositeDeviceIdOid);
  if (composite === undefined) return undefined;
  return readTcbInfo(composite) ?? (composite.length > fwidLength ? composite.slice(-fwidLength) : undefined);
});

/** The first firmware identifier of DiceTcbInfo (TCG DICE Attestation Architecture, section 6.1.1). */
function readTcbInfo(der: Uint8Array): Uint8Array | undefined {
  const { result, offset } = attempt(() => fromBER(der)) ?? {};
  if (offset !== der.length || !(result instanceof Sequence)) return undefined;
  const fwids = result.valueBlock.value.find(
    ({ idBlock }) => idBlock.tagClass === 3 && idBlock.tagNumber === fwidsTag,
  );
  if (!(fwids instanceof Constructed)) return undefined;
  return readFwid(fwids.valueBlock.value[0]);
}

/** FWID ::= SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING } */
function readFwid(fwid: unknown): Uint8Array | undefined {
  if (!(fwid instanceof Sequence)) return undefined;
  const [algorithm, digest] = fwid.valueBlock.value;
  if (!(algorithm instanceof ObjectIdentifier) || !(digest instanceof OctetString)) return undefined;
  const bytes = digest.valueBlock.valueHexView;
  return algorithm.getValue() === sha384Oid && bytes.length === fwidLength
    ? Uint8Array.from(bytes)
    : undefined;
}
