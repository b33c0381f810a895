/** The kinds of certificate in a table that matter to verification. */
const guids = [
  '63da758d-e664-4564-adc5-f4b93be8accd', // VCEK
  'a8074bc2-a25a-483e-aae6-39c045a0b8a1', // VLEK
  '4ab7b379-bbac-4fe4-a02f-05aef327c782', // ASK or ASVK
  'c0b406a4-a803-4952-9743-3fb6014cd0ae', // ARK
];

const entryLength = 24;
const guidLength = 16;
/** Far more than a host provides; bounds the work on a hostile table. */
const maxEntries = 32;

/** The GUIDs in both byte orders, since hosts write either. */
const knownGuids = new Set(guids.flatMap((guid) => [hexOf(guid), swappedHexOf(guid)]));

/**
 * Reads the certificates, DER, from the table that a host hands to its guest beside a report (GHCB specification,
 * section "SNP Extended Guest Request"). Entries of other kinds are skipped, and an empty table holds none. Undefined when the table is malformed:
 * no terminating entry, more than 32 entries, or an entry that points outside the table or into its header.
 */
export function parseCertificateTable(table: Uint8Array): readonly Uint8Array[] | undefined {
  if (table.length === 0) return [];
  const view = Buffer.from(table);
  const entries: { readonly guid: string; readonly offset: number; readonly length: number }[] = [];
  for (let at = 0; ; at += entryLength) {
    if (at + entryLength > view.length || entries.length > maxEntries) return undefined;
    if (view.subarray(at, at + entryLength).every((byte) => byte === 0)) break;
    entries.push({
      guid: view.toString('hex', at, at + guidLength),
      offset: view.readUInt32LE(at + guidLength),
      length: view.readUInt32LE(at + guidLength + 4),
    });
  }
  const headerLength = (entries.length + 1) * entryLength;
  const inside = entries.every(
    ({ offset, length }) => offset >= headerLength && offset + length <= view.length,
  );
  if (!inside) return undefined;
  return entries
    .filter(({ guid, length }) => knownGuids.has(guid) && length > 0)
    .map(({ offset, length }) => Uint8Array.from(view.subarray(offset, offset + length)));
}

function hexOf(guid: string): string {
  return guid.replaceAll('-', '');
}

/** The mixed byte order of RFC 9562's variant 2: the first three groups are little-endian. */
function swappedHexOf(guid: string): string {
  const groups = guid.split('-');
  const swap = (hex: string): string => Buffer.from(Buffer.from(hex, 'hex').toReversed()).toString('hex');
  return groups.map((group, index) => (index < 3 ? swap(group) : group)).join('');
}
