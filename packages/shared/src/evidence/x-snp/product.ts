/** The product lines that have an AMD root key (ARK) of their own, as AMD's key service names them. */
export const products = ['Milan', 'Genoa', 'Turin'] as const;
export type Product = (typeof products)[number];

/** Security versions of a platform's firmware components (SEV-SNP ABI, section 2.2). */
export interface Tcb {
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
  /** The management controller's firmware; on Turin only. */
  readonly fmc?: number;
}

/** Family, model and stepping of a processor, as CPUID function 1 combines them. */
export interface Cpuid {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

/**
 * SHA-256 over each ARK's SubjectPublicKeyInfo. AMD uses one ARK per product line, for VCEKs and VLEKs alike; AMD
 * publishes it at `https://kdsintf.amd.com/vcek/v1/<product>/cert_chain`.
 */
export const pinnedRoots: Readonly<Record<Product, string>> = {
  Milan: '9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9',
  Genoa: '429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831',
  Turin: '4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08',
};

/** The product line of a processor; undefined for one that no SNP product line has. */
export function productOfCpuid({ family, model }: Cpuid): Product | undefined {
  if (family === 0x19 && model <= 0x0f) return 'Milan';
  if (family === 0x19 && (isBetween(model, 0x10, 0x1f) || isBetween(model, 0xa0, 0xaf))) return 'Genoa';
  if (family === 0x1a && model <= 0x11) return 'Turin';
  return undefined;
}

/**
 * The product line that a name like `Milan-B0` or `SEV-VLEK-Genoa` is about; undefined for a name that is not known.
 * Bergamo and Siena are of Genoa's line and have its ARK.
 */
export function productOfName(name: string): Product | undefined {
  const [, line] = /^(?:SEV-(?:VLEK-)?)?(Milan|Genoa|Bergamo|Siena|Turin)(?:-|$)/.exec(name) ?? [];
  if (line === 'Bergamo' || line === 'Siena') return 'Genoa';
  return products.find((product) => product === line);
}

/** Reads a TCB version in its product's layout; undefined when a reserved byte is not zero. */
export function decodeTcb(product: Product, bytes: Uint8Array): Tcb | undefined {
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0, b5 = 0, b6 = 0, b7 = 0] = bytes;
  if (product === 'Turin') {
    return b4 + b5 + b6 === 0 ? { fmc: b0, bootloader: b1, tee: b2, snp: b3, microcode: b7 } : undefined;
  }
  return b2 + b3 + b4 + b5 === 0 ? { bootloader: b0, tee: b1, snp: b6, microcode: b7 } : undefined;
}

/** The first component in which a TCB is below another; undefined when it is at least as high in every one. */
export function componentBelow(tcb: Tcb, minimum: Partial<Tcb>): keyof Tcb | undefined {
  const components = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const;
  return components.find((component) => (tcb[component] ?? 0) < (minimum[component] ?? 0));
}

function isBetween(value: number, low: number, high: number): boolean {
  return low <= value && value <= high;
}
