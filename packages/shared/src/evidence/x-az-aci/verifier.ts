import * as z from 'zod';
import { reason } from '../../reasons.js';
import { checkMachine, checkRuntimeBinding } from '../service-token/maa.js';
import { commonPolicy } from '../service-token/policy.js';
import { tokenVerifier } from '../service-token/verifier.js';
import { readSingle } from '../service-token/bundle.js';

const digest = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, 'expected host data: 32 bytes in hex')
  .transform((text) => text.toLowerCase());

const policySchema = z.strictObject({
  ...commonPolicy([]),
  /** Digests of the enforcement policies that a container group may run under. */
  host_data: z.array(digest).optional(),
});

/** The verifier of Azure container instances by the token of their sidecar. docs/namespaces/x-az-aci.md explains it. */
export const azureAciVerifier = tokenVerifier<z.output<typeof policySchema>>({
  namespace: 'x-az-aci',
  policySchema,
  algorithms: ['RS256'],
  read: readSingle,
  checkBinding: checkRuntimeBinding,
  judge: ({ main }, { host_data }) => {
    const hostData = main['x-ms-sevsnpvm-hostdata'];
    const isKnown = typeof hostData === 'string' && (host_data?.includes(hostData.toLowerCase()) ?? true);
    return [
      ...checkMachine(main, ['azure-compliant-uvm']),
      ...(isKnown
        ? []
        : [
            reason('SERVICE_CLAIM', {
              message: 'The container group runs under an enforcement policy that is not allowed.',
              path: 'x-ms-sevsnpvm-hostdata',
            }),
          ]),
    ];
  },
});
