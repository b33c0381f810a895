import * as z from 'zod';

/** The kinds of failure that a policy can answer differently. */
export const failureKinds = [
  /** Evidence was appraised and refused. */
  'evidence_rejected',
  /** A token's time ran out before a new one was accepted. */
  'token_expired',
  /** Heartbeats stopped. */
  'silent',
  /** The site could not collect evidence. */
  'attester_failed',
  /** The site's own check refused a job. */
  'admission_refused',
  /** The server's own proof failed. */
  'server_unproven',
] as const;
export type FailureKind = (typeof failureKinds)[number];

/**
 * What may follow a failure. Whatever is chosen, a participant without proof is admitted to no job.
 * `warn` records it; `quarantine` bars the site and ends its own processes; `stop_job` ends, at every site, the jobs
 * that it takes part in; `shutdown_system` ends everything.
 */
export const responseActions = ['warn', 'quarantine', 'stop_job', 'shutdown_system'] as const;
export type ResponseAction = (typeof responseActions)[number];

/** FLARE's critical levels as presets; a kind that the file names overrides the preset's answer. */
export const presets = {
  SHUTDOWN_JOB: {
    evidence_rejected: ['quarantine', 'stop_job'],
    token_expired: ['stop_job'],
    silent: ['stop_job'],
    attester_failed: ['warn'],
    admission_refused: ['quarantine'],
    server_unproven: ['stop_job'],
  },
  SHUTDOWN_SYSTEM: {
    evidence_rejected: ['shutdown_system'],
    token_expired: ['shutdown_system'],
    silent: ['shutdown_system'],
    attester_failed: ['warn'],
    admission_refused: ['shutdown_system'],
    server_unproven: ['shutdown_system'],
  },
} as const satisfies Record<string, Record<FailureKind, readonly ResponseAction[]>>;

const actions = z
  .array(z.enum(responseActions))
  .min(1)
  .refine((list) => new Set(list).size === list.length, 'an action is listed twice');

/** The part `responses` of a policy; its output has an answer for every kind. */
export const responsesSchema = z
  .strictObject({
    critical_level: z.enum(['SHUTDOWN_JOB', 'SHUTDOWN_SYSTEM']).default('SHUTDOWN_JOB'),
    ...(Object.fromEntries(failureKinds.map((kind) => [kind, actions.optional()])) as Record<
      FailureKind,
      z.ZodOptional<typeof actions>
    >),
  })
  .prefault({})
  .transform(({ critical_level, ...chosen }): Readonly<Record<FailureKind, readonly ResponseAction[]>> => {
    const preset = presets[critical_level];
    return Object.fromEntries(failureKinds.map((kind) => [kind, chosen[kind] ?? preset[kind]])) as never;
  });
