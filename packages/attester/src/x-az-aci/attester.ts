import * as z from 'zod';
import { runtimeData } from '@muster/shared/evidence/service-token/runtime-data.js';
import type { Attester } from '../attester.js';
import { askService } from '../azure-service.js';
import { commonOptions } from '../options.js';

const namespace = 'x-az-aci';
const answerSchema = z.looseObject({ token: z.string().min(1) });

/** The configuration of the attester of an Azure container group. docs/attesters.md describes it field by field. */
export const azureAciOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** Where the sidecar listens. */
  sidecar: z.url().default('http://localhost:8284/attest/maa'),
  /** The instance of Microsoft Azure Attestation, as a host name. */
  maa_endpoint: z.string().regex(/^[a-z0-9.-]+$/, 'expected a host name'),
});

/** Makes the attester of an Azure container group: its evidence is the token that the sidecar fetches. */
export function azureAciAttester({ sidecar, maa_endpoint }: z.output<typeof azureAciOptions>): Attester {
  const never = new AbortController().signal;
  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      const body = JSON.stringify({ maa_endpoint, runtime_data: runtimeData(reportData).toString('base64') });
      const headers = { 'content-type': 'application/json' };
      const { token } = await askService(
        namespace,
        sidecar,
        { method: 'POST', headers, body, signal },
        answerSchema,
      );
      return { namespace, evidence: new TextEncoder().encode(token) };
    },
  };
}
