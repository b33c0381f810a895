import { attestersConfigSchema } from '@muster/attester/attesters.js';
import { duration } from '@muster/shared/config/duration.js';
import { simulatedRootsSchema } from '@muster/shared/config/simulated-roots.js';
import { isName, isTrustDomain } from '@muster/shared/spiffe.js';
import { validate as isCronExpression } from 'node-cron';
import * as z from 'zod';

const file = z.string().min(1);
const perSecond = (preset: number): z.ZodDefault<z.ZodNumber> =>
  z.number().min(1).max(1_000_000).default(preset);
const count = (preset: number): z.ZodDefault<z.ZodInt> => z.int().min(1).max(1_000_000).default(preset);

/** `host:port`; the host may be an IPv6 address in brackets. */
const address = z.string().transform((text, context) => {
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+):(\d{1,5})$/i.exec(text) ?? [];
  if (host !== undefined && Number(port) <= 65_535) {
    return { host: host.replaceAll(/[[\]]/g, ''), port: Number(port) };
  }
  context.addIssue('expected host:port, such as 0.0.0.0:8443');
  return z.NEVER;
});

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** No field of a cron expression has a number of three digits, whose range the library would write out. */
function isSchedule(text: string): boolean {
  return text.length <= 128 && !/\d{3}/.test(text) && isCronExpression(text);
}

const verification = z
  .strictObject({
    period: duration('10s', '7d').optional(),
    schedule: z.string().refine(isSchedule, 'expected a cron expression').optional(),
  })
  .transform(({ period, schedule }, context) => {
    if (period !== undefined && schedule === undefined) return { period };
    if (period === undefined && schedule !== undefined) return { schedule };
    context.addIssue('expected either period or schedule');
    return z.NEVER;
  })
  .prefault({ period: '10m' });

const session = z
  .strictObject({
    heartbeat_interval: duration('100ms', '1m').default(10_000),
    lease_ttl: duration('300ms', '10m').default(60_000),
    /** How long a challenge may take to be answered, ms. */
    challenge_timeout: duration('1s', '5m').default(30_000),
  })
  .refine(({ heartbeat_interval, lease_ttl }) => lease_ttl >= 3 * heartbeat_interval, {
    path: ['lease_ttl'],
    error: 'a lease lasts at least three heartbeat intervals',
  })
  .prefault({});

/** The server's configuration file. docs/configuration.md describes it; durations are milliseconds once read. */
export const configSchema = z.strictObject({
  name: z.string().refine(isName, 'expected a DNS label'),
  trust_domain: z.string().refine(isTrustDomain, 'expected a trust domain, such as federation.example'),
  data_directory: file,
  listen: z.strictObject({
    session: address,
    enrollment: address,
    /** DNS names and IP addresses that clients use; they go into the certificate. */
    advertise: z
      .array(z.string().regex(/^[a-zA-Z0-9.:-]{1,253}$/, 'expected a DNS name or an IP address'))
      .default([]),
  }),
  policy: file,
  attesters: attestersConfigSchema.default([]),
  simulated_roots: simulatedRootsSchema,
  endorsements: z
    .strictObject({
      offline_directory: file.optional(),
      online: z.boolean().default(true),
      amd_url: z.url({ protocol: /^https?$/ }).optional(),
      intel_url: z.url({ protocol: /^https?$/ }).optional(),
      nvidia_url: z.url({ protocol: /^https?$/ }).optional(),
    })
    .prefault({}),
  /** Where Prometheus finds metrics, without authentication: a loopback address unless a proxy guards it. */
  metrics: z
    .strictObject({ listen: address, expose: z.boolean().default(false) })
    .refine(({ listen: { host }, expose }) => expose || isLoopback(host), {
      path: ['listen'],
      error: 'expected a loopback address, or expose: true',
    })
    .optional(),
  verification,
  session,
  certificates: z.strictObject({ site_lifetime: duration('10s', '24h').default(3_600_000) }).prefault({}),
  admission: z.strictObject({ check_timeout: duration('1s', '5m').default(30_000) }).prefault({}),
  stop: z.strictObject({ grace: duration('0s', '10m').default(10_000) }).prefault({}),
  limits: z
    .strictObject({
      calls_per_caller: perSecond(50),
      calls_per_address: perSecond(500),
      connections: count(12_000),
      enrollment_connections: count(256),
      enrollment_connections_per_address: count(32),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
});
