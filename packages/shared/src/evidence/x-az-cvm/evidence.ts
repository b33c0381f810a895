import * as z from 'zod';
import { base64Bytes, hexBytes, readJson } from '../encoded.js';

const maxEvidenceBytes = 256 * 1024;
const maxPcrs = 24;
const maxQuoteBytes = 2048;
const maxHclReportBytes = 4096;
const maxHardwareBytes = 16 * 1024;

/** Bytes as an array of numbers. */
function numbers(max: number): z.ZodType<Uint8Array> {
  return z
    .array(z.int().min(0).max(255))
    .max(max)
    .transform((list) => Uint8Array.from(list));
}

const pem = z
  .string()
  .max(maxHardwareBytes)
  .transform((text) => new TextEncoder().encode(text));

/** Version 1: every part in a text form of its own. Its SEV-SNP kind has `vcek`, its TDX kind `td_quote`. */
const versionOne = z.strictObject({
  version: z.literal(1),
  hcl_report: base64Bytes(maxHclReportBytes),
  tpm_quote: z.strictObject({
    message: hexBytes(maxQuoteBytes),
    signature: hexBytes(maxQuoteBytes),
    pcrs: z.array(hexBytes(32)).max(maxPcrs),
  }),
  vcek: base64Bytes(maxHardwareBytes).optional(),
  td_quote: base64Bytes(maxHardwareBytes).optional(),
});

/** The form before versions were numbered: bytes as numbers, and SEV-SNP alone. */
const versionZero = z
  .strictObject({
    report: numbers(maxHclReportBytes),
    quote: z.strictObject({
      message: numbers(maxQuoteBytes),
      signature: numbers(maxQuoteBytes),
      pcrs: z.array(numbers(32)).max(maxPcrs),
    }),
    vcek: pem.optional(),
  })
  .transform(({ report, quote, vcek }) => ({
    hcl_report: report,
    tpm_quote: quote,
    ...(vcek === undefined ? {} : { vcek }),
  }));

/** The evidence of an Azure confidential VM. */
export interface AzureEvidence {
  readonly hcl_report: Uint8Array;
  readonly tpm_quote: {
    readonly message: Uint8Array;
    readonly signature: Uint8Array;
    readonly pcrs: readonly Uint8Array[];
  };
  /** The certificate of the chip, PEM or DER. */
  readonly vcek?: Uint8Array | undefined;
  readonly td_quote?: Uint8Array | undefined;
}

const evidenceSchema: z.ZodType<AzureEvidence> = z.union([versionOne, versionZero]);

/** Reads evidence, JSON; undefined when it is of another shape. Nothing in it is verified. */
export function parseEvidence(bytes: Uint8Array): AzureEvidence | undefined {
  return readJson(bytes, evidenceSchema, maxEvidenceBytes);
}
