import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import type { DeviceKey, KeyCredential } from '../attester.js';
import {
  acceptPolicyResponse,
  activateCredentialCommand,
  activateCredentialResponse,
  endorsementPolicyCommand,
  flushContextCommand,
  nvReadPublicCommand,
  readPublicCommand,
  readPublicResponse,
  sessionResponse,
  startPolicySessionCommand,
  TpmError,
} from './commands.js';
import type { Transact } from './device.js';
import { readNv } from './nv.js';

/** The persistent handles of an attestation key and of the endorsement key beside which it is. */
export interface TpmKeys {
  readonly attestationKey: number;
  readonly endorsementKey: number;
}

/** Where a TPM has the certificate of its endorsement key, by the key's type (TCG EK Credential Profile, section 2.2.1.4). */
const certificateIndexes: Readonly<Record<number, number>> = { 0x0001: 0x01c0_0002, 0x0023: 0x01c0_000a };
const nonceBytes = 32;

/**
 * The attestation key and the certificates of the endorsement key: what the TPM holds, then those of a file (PEM or DER),
 * which has all of them where the TPM holds none. Errors: TpmError; those of reading the file.
 */
export async function describeKey(
  transact: Transact,
  { attestationKey, endorsementKey }: TpmKeys,
  certificateFile: string | undefined,
): Promise<DeviceKey> {
  const readPublic = async (handle: number): Promise<Uint8Array> =>
    readPublicResponse(await transact(readPublicCommand(handle)));
  const type = Buffer.from(await readPublic(endorsementKey)).readUInt16BE(2);
  const own = await readCertificate(transact, certificateIndexes[type]);
  const content = certificateFile === undefined ? new Uint8Array() : await readFile(certificateFile);
  const others = content.length === 0 ? [] : splitCertificates(content);
  if (others === undefined) throw new TpmError(`${certificateFile} holds no certificates.`);
  if (own.length + others.length === 0)
    throw new TpmError('it holds no certificate of its endorsement key, and no file is configured.');
  return {
    attestationKey: await readPublic(attestationKey),
    endorsementCertificates: [...own, ...others],
  };
}

/** Opens a credential by an endorsement key of a standard template. Errors: TpmError. */
export async function openCredential(
  transact: Transact,
  keys: TpmKeys,
  credential: KeyCredential,
): Promise<Uint8Array> {
  const session = sessionResponse(await transact(startPolicySessionCommand(randomBytes(nonceBytes))));
  try {
    acceptPolicyResponse(await transact(endorsementPolicyCommand(session)));
    return activateCredentialResponse(await transact(activateCredentialCommand(keys, session, credential)));
  } catch (error) {
    // A session that was not used up takes one of the few places for them.
    await transact(flushContextCommand(session)).catch(() => undefined);
    throw error;
  }
}

/** The certificate in an NV index; none where the TPM has no such index. */
async function readCertificate(transact: Transact, index: number | undefined): Promise<Uint8Array[]> {
  if (index === undefined) return [];
  const hasIndex = isSuccess(await transact(nvReadPublicCommand(index)));
  return hasIndex ? [withoutPadding(await readNv(transact, index))] : [];
}

function isSuccess(response: Uint8Array): boolean {
  return response.length >= 10 && Buffer.from(response).readUInt32BE(6) === 0;
}

/** A DER element without what fills the rest of its index: its header tells its length (X.690, section 8.1.3). */
function withoutPadding(bytes: Uint8Array): Uint8Array {
  const longForm = 0x82;
  if (bytes[1] !== longForm || bytes.length < 4) return bytes;
  return bytes.subarray(0, 4 + Buffer.from(bytes).readUInt16BE(2));
}
