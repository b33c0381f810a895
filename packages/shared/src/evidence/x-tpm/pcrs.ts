import { createHash } from 'node:crypto';
import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import type { Json } from '../appraisal.js';
import type { PcrBank, TpmQuote } from './quote.js';
import type { HashName } from './structure.js';

const digestLengths: Readonly<Record<HashName, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** The banks that PCRs are taken from; SHA-1 is none of them. */
export const pcrBanks = ['sha256', 'sha384', 'sha512'] as const;
type Bank = (typeof pcrBanks)[number];

const pcrIndex = z.int().min(0).max(31);
const pcrIndexes = z
  .array(pcrIndex)
  .min(1)
  .refine((list) => new Set(list).size === list.length, 'a PCR is listed twice')
  .transform((list) => list.toSorted((a, b) => a - b));

/** The PCRs that must be quoted, by bank: these and no others. */
export const pcrSelectionSchema = z.strictObject({
  sha256: pcrIndexes.optional(),
  sha384: pcrIndexes.optional(),
  sha512: pcrIndexes.optional(),
});

function references(bank: Bank): z.ZodType<Readonly<Record<string, readonly string[]>>> {
  const value = z
    .string()
    .regex(
      new RegExp(`^[0-9a-fA-F]{${digestLengths[bank] * 2}}$`),
      `expected a value of a ${bank} PCR in hex`,
    )
    .transform((text) => text.toLowerCase());
  const index = z.string().regex(/^(?:[12]?[0-9]|3[01])$/, 'expected the number of a PCR');
  return z.record(index, z.array(value));
}

/** The allowed values of PCRs, by bank and number. */
export const pcrReferencesSchema = z.strictObject({
  sha256: references('sha256').optional(),
  sha384: references('sha384').optional(),
  sha512: references('sha512').optional(),
});

/** What a policy says about PCRs. */
export interface PcrPolicy {
  readonly pcr_selection?: z.output<typeof pcrSelectionSchema> | undefined;
  readonly pcrs?: z.output<typeof pcrReferencesSchema> | undefined;
}

/** The values of quoted PCRs by bank and number. */
export type PcrValues = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>;

/**
 * Gives the values beside a quote their places: they are those of the selected PCRs, in the order of the selection.
 * Refused when their number, a length or their digest differs from what the quote says.
 */
export function placePcrs(
  { selection, pcrDigest }: TpmQuote,
  values: readonly Uint8Array[],
  hash: HashName,
): PcrValues | Reason {
  const places = selection.flatMap(({ bank, indexes }) => indexes.map((index) => ({ bank, index })));
  if (values.length !== places.length) {
    return reason('TPM_PCR_COUNT', {
      message: `The quote covers ${places.length} PCRs; ${values.length} values are given.`,
    });
  }
  if (places.some(({ bank }, at) => values[at]?.length !== digestLengths[bank]))
    return reason('TPM_PCR_DIGEST');
  const digest = createHash(hash).update(Buffer.concat(values)).digest();
  if (!digest.equals(pcrDigest)) return reason('TPM_PCR_DIGEST');
  const placed = new Map<HashName, Map<number, Uint8Array>>(selection.map(({ bank }) => [bank, new Map()]));
  for (const [at, { bank, index }] of places.entries()) {
    placed.get(bank)?.set(index, values[at] ?? new Uint8Array());
  }
  return placed;
}

/** Whether the quote covers exactly the PCRs that the policy asks for, and never one of a weak bank. */
export function checkSelection(selection: readonly PcrBank[], policy: PcrPolicy): Reason | undefined {
  if (selection.every(({ indexes }) => indexes.length === 0)) {
    return reason('TPM_PCR_SELECTION', { message: 'The quote covers no PCR.' });
  }
  if (selection.some(({ bank, indexes }) => bank === 'sha1' && indexes.length > 0)) {
    return reason('TPM_PCR_SELECTION', { message: 'The quote covers PCRs of the SHA-1 bank.' });
  }
  const wanted = policy.pcr_selection;
  if (wanted === undefined) return undefined;
  const indexesOf = (bank: Bank): readonly number[] =>
    selection.find((candidate) => candidate.bank === bank)?.indexes ?? [];
  const differing = pcrBanks.find((bank) => indexesOf(bank).join() !== (wanted[bank] ?? []).join());
  if (differing === undefined) return undefined;
  const list = (indexes: readonly number[]): string => (indexes.length === 0 ? 'none' : indexes.join(', '));
  return reason('TPM_PCR_SELECTION', {
    message: `Of the bank ${differing} the quote covers ${list(indexesOf(differing))}; the policy asks for ${list(wanted[differing] ?? [])}.`,
  });
}

/** The PCRs whose value is none of those that the policy allows; one that was not quoted has no value. */
export function checkReferences(values: PcrValues | undefined, { pcrs = {} }: PcrPolicy): readonly Reason[] {
  return pcrBanks.flatMap((bank) =>
    Object.entries(pcrs[bank] ?? {}).flatMap(([index, allowed]) => {
      const value = values?.get(bank)?.get(Number(index));
      if (value !== undefined && allowed.includes(Buffer.from(value).toString('hex'))) return [];
      const found = value === undefined ? 'was not quoted with its value' : 'has a value that is not allowed';
      return [
        reason('TPM_PCR_VALUE', {
          message: `PCR ${index} of the bank ${bank} ${found}.`,
          path: `pcrs.${bank}.${index}`,
        }),
      ];
    }),
  );
}

/** Whether a policy has the value of any PCR. */
export function hasReferences({ pcrs = {} }: PcrPolicy): boolean {
  return pcrBanks.some((bank) => Object.keys(pcrs[bank] ?? {}).length > 0);
}

/** What a quote says, for people and programs. */
export function quoteClaims(quote: TpmQuote, values?: PcrValues): { readonly [key: string]: Json } {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  const { clock, firmwareVersion } = quote;
  return {
    nonce: hex(quote.extraData),
    pcr_selection: Object.fromEntries(quote.selection.map(({ bank, indexes }) => [bank, [...indexes]])),
    pcr_digest: hex(quote.pcrDigest),
    ...(values === undefined
      ? {}
      : {
          pcrs: Object.fromEntries(
            [...values].map(([bank, registers]) => [
              bank,
              Object.fromEntries([...registers].map(([index, value]) => [`${index}`, hex(value)])),
            ]),
          ),
        }),
    clock: {
      clock_ms: clock.clock.toString(),
      reset_count: clock.resetCount,
      restart_count: clock.restartCount,
      safe: clock.safe,
    },
    firmware_version: `0x${firmwareVersion.toString(16).padStart(16, '0')}`,
    qualified_signer: hex(quote.qualifiedSigner),
  };
}
