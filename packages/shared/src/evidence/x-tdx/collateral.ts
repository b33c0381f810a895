import * as z from 'zod';
import { remembered } from '../remember.js';

/** What Intel says of the security of a version (TCB info, `tcbStatus`). */
export const tcbStatuses = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const;

/** One of {@link tcbStatuses}. */
export type TcbStatus = (typeof tcbStatuses)[number];

/** A document that Intel signed: `value` is what `signedBytes` say, once `signature` holds over them. */
export interface SignedDocument<T> {
  readonly value: T;
  /** The JSON object exactly as it was served: no other writing of it has this signature. */
  readonly signedBytes: Uint8Array;
  /** ECDSA P-256, r and s. */
  readonly signature: Uint8Array;
}

/** More than any document of Intel's, bytes. */
const maxDocumentBytes = 128 * 1024;
/** Documents that are kept as they were read. */
const rememberedDocuments = 32;

const component = z.int().min(0).max(255);
const svn = z.int().min(0).max(0xffff);

function hex(bytes: number): z.ZodType<string> {
  return z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`))
    .transform((text) => text.toLowerCase());
}

const time = z.iso.datetime().transform((text) => new Date(text));
const standing = {
  tcbDate: time,
  tcbStatus: z.enum(tcbStatuses),
  advisoryIDs: z.array(z.string()).default([]),
};
const dates = { issueDate: time, nextUpdate: time, tcbEvaluationDataNumber: z.int().min(0) };
const components = z.array(z.object({ svn: component })).length(16);
const enclaveLevels = z.array(z.object({ tcb: z.object({ isvsvn: svn }), ...standing }));
const module = { mrsigner: hex(48), attributes: hex(8), attributesMask: hex(8) };

const tcbInfoSchema = z.object({
  id: z.literal('TDX'),
  version: z.literal(3),
  ...dates,
  fmspc: hex(6),
  pceId: hex(2),
  tcbType: z.literal(0),
  tdxModule: z.object(module),
  tdxModuleIdentities: z.array(z.object({ id: z.string(), ...module, tcbLevels: enclaveLevels })).default([]),
  tcbLevels: z.array(
    z.object({
      tcb: z.object({ sgxtcbcomponents: components, pcesvn: svn, tdxtcbcomponents: components }),
      ...standing,
    }),
  ),
});

const qeIdentitySchema = z.object({
  id: z.literal('TD_QE'),
  version: z.literal(2),
  ...dates,
  miscselect: hex(4),
  miscselectMask: hex(4),
  attributes: hex(16),
  attributesMask: hex(16),
  mrsigner: hex(32),
  isvprodid: svn,
  tcbLevels: enclaveLevels,
});

/** The security versions of a platform and what Intel says of them (Intel PCS API v4, TDX TCB info version 3). */
export type TcbInfo = z.output<typeof tcbInfoSchema>;
/** What a genuine quoting enclave of TDX is (Intel PCS API v4, enclave identity version 2). */
export type QeIdentity = z.output<typeof qeIdentitySchema>;
/** A level of the TCB info, with what Intel says of it. */
export type TcbLevel = TcbInfo['tcbLevels'][number];
/** A level of an enclave or of a TDX module. */
export type EnclaveTcbLevel = QeIdentity['tcbLevels'][number];

/** Reads `{"tcbInfo":{...},"signature":"..."}`; undefined when it is anything else. */
export const readTcbInfo = remembered(
  (content) => readSigned(content, 'tcbInfo', tcbInfoSchema),
  rememberedDocuments,
);

/** Reads `{"enclaveIdentity":{...},"signature":"..."}`; undefined when it is anything else. */
export const readQeIdentity = remembered(
  (content) => readSigned(content, 'enclaveIdentity', qeIdentitySchema),
  rememberedDocuments,
);

/** Writes a document as Intel's service serves it, from its parts. */
export function joinDocument(
  member: 'tcbInfo' | 'enclaveIdentity',
  signedJson: string,
  signatureHex: string,
): Uint8Array {
  return Uint8Array.from(Buffer.from(`{"${member}":${signedJson},"signature":"${signatureHex}"}`));
}

/**
 * The signed object is cut out of the text, and what was cut out is what is parsed: the signature covers the very
 * bytes that are believed. Intel's JSON is compact; text that would be written differently again is refused, which
 * leaves no room for spaces or for a key that is there twice.
 */
function readSigned<T>(
  content: Uint8Array,
  member: string,
  schema: z.ZodType<T>,
): SignedDocument<T> | undefined {
  if (content.length > maxDocumentBytes) return undefined;
  const form = new RegExp(`^\\{"${member}":(\\{.*\\}),"signature":"([0-9a-fA-F]{128})"\\}\\s*$`, 's');
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    const [, json = '', signature = ''] = form.exec(text) ?? [];
    const parsed: unknown = JSON.parse(json);
    if (JSON.stringify(parsed) !== json) return undefined;
    const { success, data } = schema.safeParse(parsed);
    if (!success) return undefined;
    return {
      value: data,
      signedBytes: Uint8Array.from(Buffer.from(json)),
      signature: Uint8Array.from(Buffer.from(signature, 'hex')),
    };
  } catch {
    return undefined;
  }
}
