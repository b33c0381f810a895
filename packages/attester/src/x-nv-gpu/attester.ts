import * as z from 'zod';
import type { Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import { collectFromNvml } from './collect.js';
import { namespace } from './failure.js';

/** The configuration of the attester of NVIDIA GPUs. docs/attesters.md describes it field by field. */
export const nvGpuOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The management library of the NVIDIA driver. */
  library: z.string().min(1).default('libnvidia-ml.so.1'),
});

/** Makes the attester of NVIDIA GPUs. Its evidence is bound to that of the CPU. */
export function nvGpuAttester({ library }: z.output<typeof nvGpuOptions>): Attester {
  const never = new AbortController().signal;
  return {
    namespace,
    bindsToOthers: true,
    collect: (reportData, { signal = never, related = [] } = {}) =>
      collectFromNvml(library, { reportData, related }, signal),
  };
}
