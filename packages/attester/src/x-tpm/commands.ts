/** PCRs of one bank, in ascending order. */
export interface PcrSelection {
  readonly bank: PcrBank;
  readonly indexes: readonly number[];
}

/** Banks by their algorithm identifiers (TCG Algorithm Registry, table 3). */
const bankIds = { sha256: 0x000b, sha384: 0x000c, sha512: 0x000d } as const;
/** A bank of PCRs. */
export type PcrBank = keyof typeof bankIds;

const noSessions = 0x8001;
const sessions = 0x8002;
const commandCodes = {
  readPublic: 0x173,
  quote: 0x158,
  pcrRead: 0x17e,
  nvRead: 0x14e,
  nvReadPublic: 0x169,
  startAuthSession: 0x176,
  policySecret: 0x151,
  activateCredential: 0x147,
  flushContext: 0x165,
} as const;
const passwordSession = 0x4000_0009;
const ownerHierarchy = 0x4000_0001;
const nullHandle = 0x4000_0007;
const endorsementHierarchy = 0x4000_000b;
const sha256 = 0x000b;
const policySession = 1;
const algNull = 0x0010;
const headerLength = 10;
const selectBytes = 3;

/** Asks for the public area of a key (TPM 2.0 Library, part 3, TPM2_ReadPublic). */
export function readPublicCommand(handle: number): Buffer {
  return command(noSessions, commandCodes.readPublic, u32(handle));
}

/** Asks for a quote by a key without a password (TPM2_Quote), by the scheme that the key has. */
export function quoteCommand(handle: number, nonce: Uint8Array, selection: readonly PcrSelection[]): Buffer {
  const parameters = [sized(nonce), u16(algNull), selectionList(selection)];
  return command(sessions, commandCodes.quote, u32(handle), authorizations(passwordSession), ...parameters);
}

/** Asks what an NV index is (TPM2_NV_ReadPublic). */
export function nvReadPublicCommand(index: number): Buffer {
  return command(noSessions, commandCodes.nvReadPublic, u32(index));
}

/** Asks, as the owner, for bytes of an NV index (TPM2_NV_Read); a TPM gives up to 1024 at once. */
export function nvReadCommand(index: number, offset: number, length: number): Buffer {
  const handles = [u32(ownerHierarchy), u32(index)];
  return command(
    sessions,
    commandCodes.nvRead,
    ...handles,
    authorizations(passwordSession),
    u16(length),
    u16(offset),
  );
}

/** Begins a policy session (TPM2_StartAuthSession) without a salt; the nonce has 16 to 32 bytes. */
export function startPolicySessionCommand(nonce: Uint8Array): Buffer {
  const handles = [u32(nullHandle), u32(nullHandle)];
  const parameters = [
    sized(nonce),
    sized(Buffer.alloc(0)),
    Buffer.of(policySession),
    u16(algNull),
    u16(sha256),
  ];
  return command(noSessions, commandCodes.startAuthSession, ...handles, ...parameters);
}

/** Satisfies the policy of endorsement keys (TPM2_PolicySecret), where the endorsement hierarchy has no password. */
export function endorsementPolicyCommand(session: number): Buffer {
  const parameters = [sized(Buffer.alloc(0)), sized(Buffer.alloc(0)), sized(Buffer.alloc(0)), u32(0)];
  const handles = [u32(endorsementHierarchy), u32(session)];
  return command(
    sessions,
    commandCodes.policySecret,
    ...handles,
    authorizations(passwordSession),
    ...parameters,
  );
}

/**
 * Opens a credential (TPM2_ActivateCredential) for an attestation key without a password, by an endorsement key whose
 * policy the session satisfies. The session ends with it. Blob and secret are TPM2B structures.
 */
export function activateCredentialCommand(
  keys: { readonly attestationKey: number; readonly endorsementKey: number },
  session: number,
  { blob, encryptedSecret }: { readonly blob: Uint8Array; readonly encryptedSecret: Uint8Array },
): Buffer {
  const handles = [u32(keys.attestationKey), u32(keys.endorsementKey)];
  const areas = authorizations(passwordSession, session);
  const parameters = [Buffer.from(blob), Buffer.from(encryptedSecret)];
  return command(sessions, commandCodes.activateCredential, ...handles, areas, ...parameters);
}

/** Ends a session (TPM2_FlushContext). */
export function flushContextCommand(handle: number): Buffer {
  return command(noSessions, commandCodes.flushContext, u32(handle));
}

/** Asks for the values of PCRs (TPM2_PCR_Read); a TPM gives up to eight at once. */
export function pcrReadCommand(selection: readonly PcrSelection[]): Buffer {
  return command(noSessions, commandCodes.pcrRead, selectionList(selection));
}

/** The public area in a response to TPM2_ReadPublic, as TPM2B_PUBLIC. Throws a TpmError. */
export function readPublicResponse(response: Uint8Array): Uint8Array {
  const body = responseBody(response, noSessions);
  return Uint8Array.from(body.subarray(0, 2 + sizedAt(body, 0).length));
}

/** The quote, TPMS_ATTEST, and its signature, TPMT_SIGNATURE, in a response to TPM2_Quote. Throws a TpmError. */
export function quoteResponse(response: Uint8Array): {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
} {
  const body = responseBody(response, sessions);
  const end = 4 + uint(body, 0, 4);
  const message = sizedAt(body, 4);
  const signatureStart = 4 + 2 + message.length;
  if (end > body.length || signatureStart >= end)
    throw new TpmError('the TPM returned a quote that ends early.');
  return { message, signature: Uint8Array.from(body.subarray(signatureStart, end)) };
}

/** The values in a response to TPM2_PCR_Read. Throws a TpmError. */
export function pcrReadResponse(response: Uint8Array): readonly Uint8Array[] {
  const body = responseBody(response, noSessions);
  let at = 8;
  for (let banks = uint(body, 4, 4); banks > 0; banks -= 1) at += 3 + uint(body, at + 2, 1);
  const count = uint(body, at, 4);
  at += 4;
  const values: Uint8Array[] = [];
  while (values.length < count) {
    const value = sizedAt(body, at);
    values.push(value);
    at += 2 + value.length;
  }
  return values;
}

/** The size of an NV index in a response to TPM2_NV_ReadPublic, bytes. Throws a TpmError. */
export function nvSizeResponse(response: Uint8Array): number {
  const area = Buffer.from(sizedAt(responseBody(response, noSessions), 0));
  return uint(area, area.length - 2, 2);
}

/** The bytes in a response to TPM2_NV_Read. Throws a TpmError. */
export function nvReadResponse(response: Uint8Array): Uint8Array {
  return sizedAt(responseBody(response, sessions), 4);
}

/** The handle of a session in a response to TPM2_StartAuthSession. Throws a TpmError. */
export function sessionResponse(response: Uint8Array): number {
  return uint(responseBody(response, noSessions), 0, 4);
}

/** Accepts a response to TPM2_PolicySecret. Throws a TpmError. */
export function acceptPolicyResponse(response: Uint8Array): void {
  responseBody(response, sessions);
}

/** What was in a credential, from a response to TPM2_ActivateCredential. Throws a TpmError. */
export function activateCredentialResponse(response: Uint8Array): Uint8Array {
  return sizedAt(responseBody(response, sessions), 4);
}

/** What a TPM answered instead of what was asked for. */
export class TpmError extends Error {
  override readonly name = 'TpmError';
}

/** How long a response is, as its header says; undefined while there is no whole header. */
export function responseLength(start: Uint8Array): number | undefined {
  return start.length < headerLength ? undefined : Buffer.from(start).readUInt32BE(2);
}

/** Response codes that ask for the same command again: YIELDED, TESTING and RETRY (part 2, section 6.6.3). */
const busyCodes: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922]);

/** Whether a TPM asks for the command again, a little later. */
export function isBusy(response: Uint8Array): boolean {
  return response.length >= headerLength && busyCodes.has(Buffer.from(response).readUInt32BE(6));
}

function responseBody(response: Uint8Array, tag: number): Buffer {
  const view = Buffer.from(response);
  if (responseLength(response) !== view.length)
    throw new TpmError('the TPM returned a response of another length.');
  const code = view.readUInt32BE(6);
  if (code !== 0) throw new TpmError(`the TPM answered 0x${code.toString(16).padStart(3, '0')}.`);
  if (view.readUInt16BE(0) !== tag) throw new TpmError('the TPM returned a response of another kind.');
  return view.subarray(headerLength);
}

function uint(body: Buffer, at: number, length: number): number {
  if (at < 0 || at + length > body.length) throw new TpmError('the TPM returned a response that ends early.');
  return body.readUIntBE(at, length);
}

function sizedAt(body: Buffer, at: number): Uint8Array {
  const length = uint(body, at, 2);
  if (at + 2 + length > body.length) throw new TpmError('the TPM returned a response that ends early.');
  return Uint8Array.from(body.subarray(at + 2, at + 2 + length));
}

function command(tag: number, code: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u16(tag), u32(headerLength + body.length), u32(code), body]);
}

/** An authorization area: passwords of no characters, and policy sessions, which end with the command. */
function authorizations(...handles: readonly number[]): Buffer {
  const areas = handles.map((handle) => {
    const attributes = handle === passwordSession ? 1 : 0;
    return Buffer.concat([
      u32(handle),
      sized(Buffer.alloc(0)),
      Buffer.of(attributes),
      sized(Buffer.alloc(0)),
    ]);
  });
  const area = Buffer.concat(areas);
  return Buffer.concat([u32(area.length), area]);
}

function selectionList(selection: readonly PcrSelection[]): Buffer {
  const banks = selection.map(({ bank, indexes }) => {
    const bitmap = Buffer.alloc(selectBytes);
    for (const index of indexes)
      bitmap.writeUInt8(bitmap.readUInt8(index >> 3) | (1 << (index & 7)), index >> 3);
    return Buffer.concat([u16(bankIds[bank]), Buffer.of(selectBytes), bitmap]);
  });
  return Buffer.concat([u32(banks.length), ...banks]);
}

function sized(bytes: Uint8Array): Buffer {
  return Buffer.concat([u16(bytes.length), bytes]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
