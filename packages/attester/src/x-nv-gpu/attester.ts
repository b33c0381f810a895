import * as z from 'zod';
import type { Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import { collectDevices } from './collect.js';
import { namespace } from './failure.js';

/** The configuration of the attester of NVIDIA GPUs. docs/attesters.md describes it field by field. */
export const nvGpuOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The management library of the NVIDIA driver. */
  library: z.string().min(1).default('libnvidia-ml.so.1'),
  /** NVIDIA's library of switches, where their evidence is to be collected, as `libnvidia-nscq.so.2`. */
  switch_library: z.string().min(1).optional(),
});

/** Makes the attester of NVIDIA GPUs and their switches. Its evidence is bound to that of the CPU. */
export function nvGpuAttester({ library, switch_library }: z.output<typeof nvGpuOptions>): Attester {
  const never = new AbortController().signal;
  return {
    namespace,
    bindsToOthers: true,
    collect: (reportData, { signal = never, related = [] } = {}) =>
      collectDevices({ library, switchLibrary: switch_library }, { reportData, related }, signal),
  };
}
