import { failed } from './failure.js';
import { filledPart, type DeviceLibrary, type LibraryDevice } from './library.js';
import { describeReturn } from './return-codes.js';

/** What the driver says about confidential computing on this machine (nvml.h, nvmlConfComputeSystemState_t). */
export interface ConfComputeState {
  readonly environment: 'unavailable' | 'simulation' | 'production' | 'unknown';
  readonly isEnabled: boolean;
  readonly devtoolsMode: boolean;
  /** How several GPUs work together, where the driver says so. */
  readonly multiGpuMode: 'none' | 'ppcie' | 'nvle';
}

/** A GPU of this machine. */
export interface Gpu extends LibraryDevice {
  /** The driver's own handle, a pointer. */
  readonly handle: bigint;
}

/** The part of NVML that attestation needs. Every failed call ends in ATTESTATION_GENERATION_FAILED, in plain words. */
export interface Nvml extends DeviceLibrary<Gpu> {
  state(): Promise<ConfComputeState>;
}

/*
 * Layouts of nvml.h. All numbers are u32, little-endian, and nothing is padded.
 * nvmlConfComputeSystemState_t {environment, ccFeature, devToolsMode}
 * nvmlSystemConfComputeSettings_v1_t {version, environment, ccFeature, devToolsMode, multiGpuMode}
 * nvmlConfComputeGpuCertificate_t {certChainSize, attestationCertChainSize, certChain[0x1000],
 *   attestationCertChain[0x1400]}
 * nvmlConfComputeGpuAttestationReport_t {isCecAttestationReportPresent, attestationReportSize,
 *   cecAttestationReportSize, nonce[32], attestationReport[0x2000], cecAttestationReport[0x1000]}
 */
const stateLayout = { environment: 0, ccFeature: 4, devToolsMode: 8, bytes: 12 } as const;
const settingsLayout = { version: 0, multiGpuMode: 16, bytes: 20 } as const;
const certificateLayout = { size: 4, chain: 8 + 0x1000, chainBytes: 0x1400, bytes: 9224 } as const;
const reportLayout = { size: 4, nonce: 12, report: 44, reportBytes: 0x2000, bytes: 12332 } as const;

/** NVML_STRUCT_VERSION(SystemConfComputeSettings, 1) */
const settingsVersion = 0x0100_0014;
const environments = ['unavailable', 'simulation', 'production'] as const;
const multiGpuModes = ['none', 'ppcie', 'nvle'] as const;

/** Codes of drivers that do not know the settings of several GPUs. */
const notOffered: ReadonlySet<number> = new Set([3, 13, 25]);

const declarations = {
  nvmlInit_v2: 'int nvmlInit_v2()',
  nvmlShutdown: 'int nvmlShutdown()',
  nvmlSystemGetConfComputeState: 'int nvmlSystemGetConfComputeState(void *state)',
  nvmlSystemGetConfComputeSettings: 'int nvmlSystemGetConfComputeSettings(void *settings)',
  nvmlDeviceGetCount_v2: 'int nvmlDeviceGetCount_v2(void *count)',
  nvmlDeviceGetHandleByIndex_v2: 'int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void *device)',
  nvmlDeviceGetConfComputeGpuCertificate:
    'int nvmlDeviceGetConfComputeGpuCertificate(uintptr_t device, void *certificate)',
  nvmlDeviceGetConfComputeGpuAttestationReport:
    'int nvmlDeviceGetConfComputeGpuAttestationReport(uintptr_t device, void *report)',
} as const;

type FunctionName = keyof typeof declarations;
type Argument = Buffer | bigint | number;

const functionNotFound = 13;

/**
 * Loads NVML and initializes it. Calls run on threads of their own, so that a slow GPU does not hold up this process.
 * Errors: ATTESTATION_GENERATION_FAILED.
 */
export async function openNvml(library: string): Promise<Nvml> {
  const { default: koffi } = await import('koffi');
  const loaded = load();

  function load(): ReturnType<typeof koffi.load> {
    try {
      return koffi.load(library);
    } catch (error) {
      const what = `${library} cannot be loaded; install the NVIDIA driver, and give this machine its GPU.`;
      throw failed(what, { cause: error });
    }
  }

  /** Calls a function; a library that does not have it answers as NVML itself would. */
  async function call(name: FunctionName, ...args: readonly Argument[]): Promise<number> {
    let bound: ReturnType<typeof loaded.func>;
    try {
      bound = loaded.func(declarations[name]);
    } catch {
      return functionNotFound;
    }
    return await new Promise((resolve, reject) => {
      bound.async(...args, (error: Error | null, result: number) => {
        if (error === null) resolve(result);
        else reject(error);
      });
    });
  }

  async function demand(name: FunctionName, args: readonly Argument[], device?: string): Promise<void> {
    const code = await call(name, ...args);
    if (code !== 0) throw failed(`${name}: ${describeReturn(code)}.`, device === undefined ? {} : { device });
  }

  async function multiGpuMode(): Promise<ConfComputeState['multiGpuMode']> {
    const settings = Buffer.alloc(settingsLayout.bytes);
    settings.writeUInt32LE(settingsVersion, settingsLayout.version);
    const code = await call('nvmlSystemGetConfComputeSettings', settings);
    if (notOffered.has(code)) return 'none';
    if (code !== 0) {
      throw failed(`nvmlSystemGetConfComputeSettings: ${describeReturn(code)}.`);
    }
    const mode = multiGpuModes[settings.readUInt32LE(settingsLayout.multiGpuMode)];
    if (mode === undefined) {
      throw failed('the driver names a mode of several GPUs that is not known.');
    }
    return mode;
  }

  await demand('nvmlInit_v2', []);
  return {
    async state() {
      const state = Buffer.alloc(stateLayout.bytes);
      await demand('nvmlSystemGetConfComputeState', [state]);
      return {
        environment: environments[state.readUInt32LE(stateLayout.environment)] ?? 'unknown',
        isEnabled: state.readUInt32LE(stateLayout.ccFeature) !== 0,
        devtoolsMode: state.readUInt32LE(stateLayout.devToolsMode) !== 0,
        multiGpuMode: await multiGpuMode(),
      };
    },
    async devices() {
      const count = Buffer.alloc(4);
      await demand('nvmlDeviceGetCount_v2', [count]);
      const gpus: Gpu[] = [];
      for (let index = 0; index < count.readUInt32LE(); index += 1) {
        const name = `GPU-${index}`;
        const handle = Buffer.alloc(8);
        await demand('nvmlDeviceGetHandleByIndex_v2', [index, handle], name);
        gpus.push({ name, handle: handle.readBigUInt64LE() });
      }
      return gpus;
    },
    async certificates({ name, handle }) {
      const { size, chain, chainBytes, bytes } = certificateLayout;
      const certificate = Buffer.alloc(bytes);
      await demand('nvmlDeviceGetConfComputeGpuCertificate', [handle, certificate], name);
      return filledPart(
        name,
        certificate.subarray(chain, chain + chainBytes),
        certificate.readUInt32LE(size),
      );
    },
    async report({ name, handle }, nonce) {
      const { size, report, reportBytes, bytes } = reportLayout;
      const answer = Buffer.alloc(bytes);
      answer.set(nonce, reportLayout.nonce);
      await demand('nvmlDeviceGetConfComputeGpuAttestationReport', [handle, answer], name);
      return filledPart(name, answer.subarray(report, report + reportBytes), answer.readUInt32LE(size));
    },
    async close() {
      await call('nvmlShutdown');
    },
  };
}
