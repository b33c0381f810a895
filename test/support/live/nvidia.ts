import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  driverVersion,
  firmwareVersion,
  manifest,
  range,
  simulatedGpu,
  type SimulatedGpu,
  type SimulatedManifest,
} from '../nvidia-device.js';
import { ocspFile, ocspResponse, type Holder } from '../nvidia-pki.js';

const dayMs = 86_400_000;

/** A simulated vendor in the place of NVIDIA: GPUs, and what their verifiers need, as of today. */
export class SimulatedNvidia {
  readonly gpus: readonly SimulatedGpu[];
  readonly #driver: SimulatedManifest = manifest();
  readonly #firmware: SimulatedManifest = manifest({ version: firmwareVersion, active: range(32, 63) });

  constructor(count: number) {
    this.gpus = range(1, count).map((number) => simulatedGpu({ name: `GPU ${number}` }));
  }

  /** Writes the roots' certificates, and returns them as configurations name them. */
  writeRoots(folder: string): readonly { readonly namespace: string; readonly certificate: string }[] {
    const roots = [...this.gpus.slice(0, 1), this.#driver].map(({ chain }) => chain.at(-1));
    return roots.map((root, index) => {
      const certificate = join(folder, `nvidia-root-${index}.pem`);
      const text = Buffer.from(root?.certificate ?? []).toString('base64');
      writeFileSync(certificate, `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`);
      return { namespace: 'x-nv-gpu', certificate };
    });
  }

  /** Writes the manifests and the status of every certificate into a directory that mirrors NVIDIA's services. */
  writeEndorsements(directory: string): void {
    const files = new Map<string, string | Uint8Array>([
      [`v1/rim/NV_GPU_DRIVER_GH100_${driverVersion}`, this.#driver.xml],
      [`v1/rim/NV_GPU_VBIOS_G520_0200_885_${firmwareVersion.replaceAll('.', '')}`, this.#firmware.xml],
      ...this.gpus.flatMap(({ chain }) => statuses(chain.slice(1))),
      ...statuses(this.#driver.chain),
    ]);
    for (const [path, content] of files) {
      const file = join(directory, 'nvidia', path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  }
}

/** Good OCSP responses of today about every certificate of a chain but its root. */
function statuses(chain: readonly Holder[]): readonly (readonly [string, Uint8Array])[] {
  const current = { thisUpdate: new Date(Date.now() - dayMs), nextUpdate: new Date(Date.now() + dayMs) };
  return chain.slice(0, -1).map((subject, index) => {
    const issuer = chain[index + 1] ?? subject;
    return [ocspFile(subject, issuer), ocspResponse(subject, issuer, current)];
  });
}
