type Koffi = (typeof import('koffi'))['default'];
type Type = ReturnType<Koffi['struct']>;

/** Lengths of nscq_attestation.h, bytes. */
export const nscqSizes = { uuid: 16, label: 64, report: 0x2000, chain: 0x1400 } as const;

/** The types of nscq_attestation.h, version 2.0 (NVIDIA's nvtrust), as far as attestation needs them. */
export interface NscqTypes {
  readonly koffi: Koffi;
  /** nscq_session_result_t {int8 rc, pointer session}, returned by value */
  readonly sessionResult: Type;
  readonly uuid: Type;
  /** Callbacks: (const nscq_uuid_t *device, int8 rc, the value, void *data). */
  readonly callbacks: {
    /** The value is a `const nscq_uuid_t *`. */
    readonly uuid: Type;
    /** nscq_attestation_report_t {u32 report_size, u8 report[0x2000]}, by value */
    readonly report: Type;
    /** nscq_attestation_certificate_t {u8 cert_chain[0x1400], u32 cert_chain_size}, by value */
    readonly certificate: Type;
  };
}

let declared: NscqTypes | undefined;

/** Declares the types, once in the life of a process: they are never freed. */
export async function nscqTypes(): Promise<NscqTypes> {
  const { default: koffi } = await import('koffi');
  declared ??= declare(koffi);
  return declared;
}

function declare(koffi: Koffi): NscqTypes {
  const bytes = (length: number): Type => koffi.array('uint8_t', length, 'Typed');
  const callback = (value: Type | 'void *'): Type =>
    koffi.pointer(koffi.proto('void', ['void *', 'int8_t', value, 'void *']));
  const report = koffi.struct({ report_size: 'uint32_t', report: bytes(nscqSizes.report) });
  const certificate = koffi.struct({ cert_chain: bytes(nscqSizes.chain), cert_chain_size: 'uint32_t' });
  return {
    koffi,
    sessionResult: koffi.struct({ rc: 'int8_t', session: 'void *' }),
    uuid: bytes(nscqSizes.uuid),
    callbacks: { uuid: callback('void *'), report: callback(report), certificate: callback(certificate) },
  };
}
