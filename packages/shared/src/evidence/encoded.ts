import * as z from 'zod';

/** Bytes in base64 or base64url, padded or not, in JSON evidence; at most `max` of them. */
export function base64Bytes(max: number): z.ZodType<Uint8Array> {
  return z
    .string()
    .max(Math.ceil(max / 3) * 4)
    .regex(/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}$/, 'expected base64')
    .transform((text) => new Uint8Array(Buffer.from(text, 'base64')));
}

/** Bytes in hex in JSON evidence; at most `max` of them. */
export function hexBytes(max: number): z.ZodType<Uint8Array> {
  return z
    .string()
    .max(max * 2)
    .regex(/^(?:[0-9a-fA-F]{2})*$/, 'expected hex')
    .transform((text) => new Uint8Array(Buffer.from(text, 'hex')));
}

/** Reads JSON evidence by its schema; undefined when it is longer than `maxBytes`, no JSON, or of another shape. */
export function readJson<T>(bytes: Uint8Array, schema: z.ZodType<T>, maxBytes: number): T | undefined {
  if (bytes.length > maxBytes) return undefined;
  try {
    return schema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))).data;
  } catch {
    return undefined;
  }
}
