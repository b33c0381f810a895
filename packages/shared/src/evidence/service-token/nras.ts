import { createHash } from 'node:crypto';
import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import { counts } from '../x-nv-gpu/policy.js';
import type { Bundle, OpenBundle } from './bundle.js';
import { objectOf, shownText, textAnswers } from './claims.js';
import { commonPolicy } from './policy.js';
import type { Findings } from './tier.js';
import type { ServiceClaims } from './token.js';
import { tokenVerifier } from './verifier.js';

const namespace = 'nras';
const service = 'https://nras.attestation.nvidia.com';
const maxDevices = 32;

const policySchema = z.strictObject({
  ...commonPolicy([{ issuer: service, jwks_uri: `${service}/.well-known/jwks.json` }]),
  /** How many devices there are to be, GPUs and switches together; none is never enough. */
  devices: counts.prefault({ minimum: 1 }),
});
type NrasPolicy = z.output<typeof policySchema>;

/** A detached bundle (RFC 9711, section 5): the overall token, and those of the devices that it names by digest. */
const answerSchema = z.tuple([
  z.tuple([z.literal('JWT'), z.string()]),
  z.record(z.string().min(1).max(64), z.string()),
]);
const digestSchema = z.tuple([
  z.literal('DIGEST'),
  z.tuple([z.enum(['SHA-256', 'SHA256']), z.string().regex(/^[0-9a-fA-F]{64}$/)]),
]);

/** The verifier of NVIDIA Remote Attestation Service's tokens about GPUs and switches. */
export const nrasVerifier = tokenVerifier<NrasPolicy>({
  namespace,
  policySchema,
  algorithms: ['ES384'],
  read,
  checkBinding: ({ eat_nonce }, reportData) => {
    if (typeof eat_nonce !== 'string' || eat_nonce === '') return reason('SERVICE_NONCE_MISSING');
    return reportData === undefined || textAnswers(eat_nonce, reportData)
      ? undefined
      : reason('SERVICE_NONCE');
  },
  judge,
  judgeDevice,
});

function read(text: string): Bundle | undefined {
  try {
    const parsed = answerSchema.safeParse(JSON.parse(text));
    if (!parsed.success) return undefined;
    const [[, main], devices] = parsed.data;
    const entries = Object.entries(devices);
    return entries.length > maxDevices ? undefined : { main, devices: new Map(entries) };
  } catch {
    return undefined;
  }
}

/** The machine as a whole: the service's overall result, and whether its devices are all there and all different. */
function judge({ main, devices, bundle }: OpenBundle, policy: NrasPolicy): readonly Reason[] {
  const { minimum = 1, exactly } = policy.devices;
  const isWanted =
    devices.size >= Math.max(minimum, 1) && (exactly === undefined || devices.size === exactly);
  const wanted = exactly === undefined ? `at least ${Math.max(minimum, 1)}` : `exactly ${exactly}`;
  return [
    main['x-nvidia-overall-att-result'] === true ? [] : reason('SERVICE_RESULT'),
    missingDevices(main, bundle),
    isWanted
      ? []
      : reason('SERVICE_DEVICES', {
          message: `There are tokens of ${devices.size} devices; the policy wants ${wanted}.`,
        }),
    repeatedDevices(devices),
  ].flat();
}

/** Devices that the overall token names and that have no token. */
function missingDevices({ submods }: ServiceClaims, { devices }: Bundle): readonly Reason[] {
  return Object.keys(objectOf(submods) ?? {})
    .filter((name) => devices?.has(name) !== true)
    .map((name) =>
      devicesReason(`The overall token names ${shownText(name)}, which has no token.`, shownText(name)),
    );
}

/** Tokens about a device that an earlier one is about; each has to say which device it is about. */
function repeatedDevices(devices: OpenBundle['devices']): readonly Reason[] {
  const seen = new Map<unknown, string>();
  return [...devices].flatMap(([name, { ueid }]) => {
    const first = seen.get(ueid);
    seen.set(ueid, first ?? name);
    if (typeof ueid !== 'string' || ueid === '') {
      return devicesReason(`The token of ${name} does not say which device it is about.`, name);
    }
    return first === undefined ? [] : devicesReason(`${name} is the same device as ${first}.`, name);
  });
}

/** One device: its token is the one that the overall token names, and every finding in it is good. */
function judgeDevice(name: string, claims: ServiceClaims, { main, bundle }: OpenBundle): Findings {
  const warning = claims['x-nvidia-attestation-warning'];
  const isWarned = warning !== undefined && warning !== null;
  return {
    refusals: [
      ...(isNamed(main, name, bundle.devices?.get(name))
        ? []
        : [devicesReason(`The token of ${name} is not the one that the overall token names.`)]),
      ...checkFindings(name, claims, main),
    ],
    warnings: isWarned
      ? [reason('SERVICE_DEVICE_WARNING', { message: `The service warns about ${name}.` })]
      : [],
  };
}

/** Whether the overall token names a device's token by its digest. */
function isNamed({ submods }: ServiceClaims, name: string, token: string | undefined): boolean {
  const named = objectOf(submods) ?? {};
  const parsed = digestSchema.safeParse(Object.hasOwn(named, name) ? named[name] : undefined);
  if (!parsed.success || token === undefined) return false;
  const [, [, digest]] = parsed.data;
  return createHash('sha256').update(token).digest('hex') === digest.toLowerCase();
}

function devicesReason(message: string, path?: string): Reason {
  return reason('SERVICE_DEVICES', { message, ...(path !== undefined && { path }) });
}

/** The overall result may be true although a device's is not: every finding about each device counts. */
function checkFindings(name: string, claims: ServiceClaims, main: ServiceClaims): readonly Reason[] {
  const wrong = [
    ...(claims['measres'] === 'success' || claims['measres'] === 'comparison-successful' ? [] : ['measres']),
    ...(claims['secboot'] === true ? [] : ['secboot']),
    ...(typeof claims['hwmodel'] === 'string' ? [] : ['hwmodel']),
    ...(claims['eat_nonce'] === main['eat_nonce'] ? [] : ['eat_nonce']),
    ...Object.entries(claims).flatMap(([claim, value]) => (isFinding(claim, value) ? [claim] : [])),
  ];
  const failures = wrong.map((claim) =>
    reason('SERVICE_DEVICE', {
      message: `The service found ${shownText(claim)} of ${name} wrong.`,
      path: shownText(claim),
    }),
  );
  return claims['dbgstat'] === 'disabled'
    ? failures
    : [...failures, reason('SERVICE_DEBUG', { message: `Debugging of ${name} is not disabled.` })];
}

function isFinding(claim: string, value: unknown): boolean {
  if (!/^x-nvidia-(?:gpu|switch)-/.test(claim)) return false;
  if (value === false) return true;
  if (!claim.endsWith('-cert-chain')) return false;
  const chain = objectOf(value);
  return chain?.['x-nvidia-cert-status'] !== 'valid' || chain['x-nvidia-cert-ocsp-status'] !== 'good';
}
