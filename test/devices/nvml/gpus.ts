import { mkdirSync, readFileSync, renameSync, rmSync, watch, writeFileSync, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { measurementOf, range, spdmReport, type SimulatedGpu } from '../../support/nvidia-device.js';
import { compileStandIn } from '../../support/stand-in.js';

/** Events of the file system can be lost; so often the requests are looked at, ms. */
const sweepMs = 250;
/** The first measurement of the firmware's manifest. */
const firmwareIndex = 32;

/** The GPUs of a machine behind a stand-in of libnvidia-ml.so, which any process may load. */
export class GpuMachine {
  readonly library: string;
  readonly #folder: string;
  readonly #gpus: readonly SimulatedGpu[];
  /** How GPUs differ from what they are, by index. */
  readonly #faults = new Map<number, 'firmware' | 'impostor'>();
  readonly #answered = new Map<number, string>();
  readonly #watcher: FSWatcher;
  readonly #sweep: NodeJS.Timeout;

  private constructor(folder: string, library: string, gpus: readonly SimulatedGpu[]) {
    this.#folder = folder;
    this.library = library;
    this.#gpus = gpus;
    this.#write('live', '');
    this.repair();
    this.#watcher = watch(folder, () => this.#look());
    this.#sweep = setInterval(() => this.#look(), sweepMs);
  }

  /** Builds the library in a folder, and answers for the GPUs; undefined where this machine has no C compiler. */
  static start(folder: string, gpus: readonly SimulatedGpu[]): GpuMachine | undefined {
    mkdirSync(folder, { recursive: true });
    const library = join(folder, 'libnvidia-ml.so');
    const isCompiled = compileStandIn('nvml/nvml.c', library, `-DDIRECTORY="${folder}"`);
    return isCompiled ? new GpuMachine(folder, library, gpus) : undefined;
  }

  /** Takes the GPUs out of confidential mode. */
  switchOff(): void {
    this.#write('state', '2 0 0 0');
  }

  /** Lets a GPU run another firmware than its manifest is of. */
  changeFirmware(index: number): void {
    this.#faults.set(index, 'firmware');
  }

  /** Lets a GPU answer with the certificates and the key of the first one. */
  impersonate(index: number): void {
    this.#faults.set(index, 'impostor');
    this.#writeChains();
  }

  /** Puts everything right. */
  repair(): void {
    this.#faults.clear();
    this.#write('state', '2 1 0 0');
    this.#writeChains();
  }

  close(): void {
    this.#watcher.close();
    clearInterval(this.#sweep);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #writeChains(): void {
    for (const index of this.#gpus.keys()) this.#write(`gpu-${index}.pem`, pemOf(this.#identity(index)));
  }

  /** Answers the requests that are new since the last look. */
  #look(): void {
    for (const index of this.#gpus.keys()) {
      const nonce = this.#read(`gpu-${index}.nonce`);
      const request = nonce?.toString('hex');
      if (nonce === undefined || request === this.#answered.get(index)) continue;
      this.#answered.set(index, request ?? '');
      this.#write(`gpu-${index}.spdm`, this.#report(index, nonce));
    }
  }

  #report(index: number, nonce: Uint8Array): Uint8Array {
    const isOther = this.#faults.get(index) === 'firmware';
    const blocks = range(0, 63).map(
      (block) => [block + 1, measurementOf(isOther && block === firmwareIndex ? 1_000 : block)] as const,
    );
    return spdmReport(this.#identity(index), { nonce, blocks });
  }

  #identity(index: number): SimulatedGpu {
    const gpu = this.#gpus[this.#faults.get(index) === 'impostor' ? 0 : index];
    if (gpu === undefined) throw new Error(`there is no GPU ${index}`);
    return gpu;
  }

  #read(name: string): Buffer | undefined {
    try {
      return readFileSync(join(this.#folder, name));
    } catch {
      return undefined;
    }
  }

  /** In one step, so that the library never reads half of a file. */
  #write(name: string, content: string | Uint8Array): void {
    const file = join(this.#folder, name);
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }
}

/** A GPU's certificate chain as the driver hands it out. */
export function pemOf({ chain }: SimulatedGpu): string {
  return chain
    .map(({ certificate }) => Buffer.from(certificate).toString('base64'))
    .map((text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`)
    .join('');
}
