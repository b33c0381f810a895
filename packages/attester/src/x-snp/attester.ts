import { existsSync } from 'node:fs';
import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import { generationFailed, type Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import { collectTsmReport } from '../tsm-report.js';
import { maxCertificateTableBytes, namespace, reportBytes, toEvidence } from './report.js';
import { collectFromSevGuest } from './sev-guest.js';

/** The configuration of the attester of AMD SEV-SNP. docs/attesters.md describes it field by field. */
export const snpOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** How the device is reached; `auto` takes configfs-tsm where its directory exists, the guest device otherwise. */
  interface: z.enum(['auto', 'configfs-tsm', 'sev-guest']).default('auto'),
  /** The directory of configfs-tsm. */
  report_directory: z.string().min(1).default('/sys/kernel/config/tsm/report'),
  /** The guest device of older kernels. */
  device: z.string().min(1).default('/dev/sev-guest'),
  /** The VMPL to ask for; by default the guest's own. */
  privlevel: z.int().min(0).max(3).optional(),
});

/** Makes the attester of AMD SEV-SNP. It gives up as soon as its signal says so; nothing else bounds its time. */
export function snpAttester(options: z.output<typeof snpOptions>, clock: Clock): Attester {
  const { report_directory: directory, device, privlevel } = options;
  const never = new AbortController().signal;
  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      if (chosenInterface() === 'configfs-tsm') {
        const { report, auxiliary } = await collectTsmReport(
          {
            namespace,
            path: directory,
            provider: 'sev_guest',
            privlevel,
            maxReportBytes: reportBytes,
            maxAuxiliaryBytes: maxCertificateTableBytes,
            clock,
          },
          reportData,
          signal,
        );
        return toEvidence(report, auxiliary, reportData);
      }
      return await collectFromSevGuest({ path: device, vmpl: privlevel, clock }, reportData, signal);
    },
  };

  function chosenInterface(): 'configfs-tsm' | 'sev-guest' {
    if (options.interface !== 'auto') return options.interface;
    if (existsSync(directory)) return 'configfs-tsm';
    if (existsSync(device)) return 'sev-guest';
    throw generationFailed(namespace, `neither ${directory} nor ${device} exists.`);
  }
}
