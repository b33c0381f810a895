import { createHash } from 'node:crypto';
import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import { objectOf, textAnswers } from './claims.js';
import { commonPolicy } from './policy.js';
import type { ServiceClaims } from './token.js';
import { tokenVerifier, type Bundle, type OpenBundle } from './verifier.js';

const namespace = 'nras';
const service = 'https://nras.attestation.nvidia.com';
const maxDevices = 32;

const policySchema = z.strictObject({
  ...commonPolicy([{ issuer: service, jwks_uri: `${service}/.well-known/jwks.json` }]),
  /** The least number of devices. */
  minimum_devices: z.int().min(1).max(maxDevices).default(1),
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
  warn: ({ devices }) =>
    [...devices].flatMap(([name, claims]) => {
      const warning = claims['x-nvidia-attestation-warning'];
      if (warning === undefined || warning === null) return [];
      return [reason('SERVICE_DEVICE_WARNING', { message: `The service warns about ${name}.`, path: name })];
    }),
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

function judge({ main, devices, bundle }: OpenBundle, { minimum_devices }: NrasPolicy): readonly Reason[] {
  return [
    main['x-nvidia-overall-att-result'] === true ? [] : reason('SERVICE_RESULT'),
    checkDigests(main, bundle) ?? [],
    devices.size >= minimum_devices
      ? []
      : reason('SERVICE_DEVICES', {
          message: `There are tokens of ${devices.size} devices; the policy asks for ${minimum_devices}.`,
        }),
    areDistinct(devices)
      ? []
      : reason('SERVICE_DEVICES', { message: 'Two of the tokens are about the same device.' }),
    [...devices].flatMap(([name, claims]) => checkDevice(name, claims, main)),
  ].flat();
}

/** The overall token names each device by the digest of its token: none is swapped, none missing, none added. */
function checkDigests({ submods }: ServiceClaims, { devices = new Map() }: Bundle): Reason | undefined {
  const named = Object.entries(objectOf(submods) ?? {});
  const fits = named.every(([name, value]) => {
    const parsed = digestSchema.safeParse(value);
    const token = devices.get(name);
    if (!parsed.success || token === undefined) return false;
    const [, [, digest]] = parsed.data;
    return createHash('sha256').update(token).digest('hex') === digest.toLowerCase();
  });
  return fits && named.length === devices.size ? undefined : reason('SERVICE_DEVICES');
}

function areDistinct(devices: OpenBundle['devices']): boolean {
  const identities = [...devices.values()].map(({ ueid }) => ueid);
  return identities.every((id) => typeof id === 'string') && new Set(identities).size === identities.length;
}

/** The overall result may be true although a device's is not: every finding about each device counts. */
function checkDevice(name: string, claims: ServiceClaims, main: ServiceClaims): readonly Reason[] {
  const wrong = [
    ...(claims['measres'] === 'success' || claims['measres'] === 'comparison-successful' ? [] : ['measres']),
    ...(claims['secboot'] === true ? [] : ['secboot']),
    ...(typeof claims['hwmodel'] === 'string' ? [] : ['hwmodel']),
    ...(claims['eat_nonce'] === main['eat_nonce'] ? [] : ['eat_nonce']),
    ...Object.entries(claims).flatMap(([claim, value]) => (isFinding(claim, value) ? [claim] : [])),
  ];
  const failures = wrong.map((claim) =>
    reason('SERVICE_DEVICE', {
      message: `The service found ${claim} of ${name} wrong.`,
      path: `${name}.${claim}`,
    }),
  );
  return claims['dbgstat'] === 'disabled'
    ? failures
    : [
        ...failures,
        reason('SERVICE_DEBUG', { message: `Debugging of ${name} is not disabled.`, path: name }),
      ];
}

function isFinding(claim: string, value: unknown): boolean {
  if (!/^x-nvidia-(?:gpu|switch)-/.test(claim)) return false;
  if (value === false) return true;
  if (!claim.endsWith('-cert-chain')) return false;
  const chain = objectOf(value);
  return chain?.['x-nvidia-cert-status'] !== 'valid' || chain['x-nvidia-cert-ocsp-status'] !== 'good';
}
