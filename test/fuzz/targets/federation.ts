import { generateKeyPairSync } from 'node:crypto';
import { Metadata, status } from '@grpc/grpc-js';
import { readFrame } from '@muster/server/sessions/frames.js';
import { reasonsFrom } from '@muster/server/sessions/wire.js';
import { chainHash, emptyChain, verifyChain } from '@muster/shared/audit/chain.js';
import { formatDuration, parseDuration } from '@muster/shared/config/duration.js';
import { Hello, SessionRequest, SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { EnrollRequest } from '@muster/shared/gen/muster/v1/enrollment.js';
import { SubmitJobRequest } from '@muster/shared/gen/muster/v1/job.js';
import { fromServiceError, toStatus } from '@muster/shared/grpc/status.js';
import { refusal } from '@muster/shared/errors.js';
import { once } from '@muster/shared/memo.js';
import { formatSpiffeId, parseSpiffeId } from '@muster/shared/spiffe.js';
import { openAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { signPermit, verifyPermit } from '@muster/shared/tokens/permit.js';
import { CompactSign, createLocalJWKSet, exportJWK } from 'jose';
import { at } from '../../support/service-tokens.js';
import { presenter, presentToken, trustDomain } from '../../support/tokens.js';
import { parserTarget, partOf, single, type NamedTarget } from '../target.js';

const utf8 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
/** Header and claims of a JWS, which its signature covers. */
const signedPart = (jws: string): string => jws.slice(0, jws.lastIndexOf('.'));
const site = once(() => presenter('site-1'));
const token = (): Promise<string> => presentToken(site(), new Uint8Array(32), at);

const attestationToken: NamedTarget = {
  name: 'attestation-token',
  make: async () => ({
    seeds: [single(await token()), single(await token())],
    run(input) {
      const jws = utf8(partOf(input, ''));
      openAttestationToken(jws);
      return [signedPart(jws)];
    },
  }),
};

/** Claims that a participant signs with its own key, as it may. */
const attestationClaims: NamedTarget = {
  name: 'attestation-claims',
  async make() {
    const [, claims = ''] = (await token()).split('.');
    return {
      seeds: [single(Buffer.from(claims, 'base64url'))],
      async run(input) {
        const header = { alg: 'ES256', typ: 'muster-attestation+jwt' };
        const signer = new CompactSign(partOf(input, '')).setProtectedHeader(header);
        openAttestationToken(await signer.sign(site().privateKey));
        return [];
      },
    };
  },
};

const permit: NamedTarget = {
  name: 'permit',
  async make() {
    const { publicKey, privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = `spiffe://${trustDomain}/server/main`;
    const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] });
    const results = { 'x-snp': 'ab'.repeat(32) };
    const jwt = await signPermit(
      {
        jobId: 'job-1',
        generation: 1,
        participants: [{ name: 'site-1', results }],
        issuedAt: at,
        expiresAt: new Date(at.getTime() + 60_000),
      },
      { issuer, trustDomain, keyId: 'one', key },
    );
    return {
      seeds: [single(jwt)],
      async run(input) {
        const text = utf8(partOf(input, ''));
        await verifyPermit(text, { keys, issuer, trustDomain, at });
        return [signedPart(text)];
      },
    };
  },
};

const hello = {
  ...Hello.create(),
  protocolMin: 1,
  protocolMax: 1,
  bootId: 'boot',
  lastEpoch: 1n,
  logId: 'log',
  appliedSeq: 2n,
  runningJobs: [{ jobId: 'job-1', generation: 1n }],
  namespaces: ['x-snp'],
  nonce: Buffer.alloc(32),
  agentVersion: '0.1.0',
  trustBundleDigest: Buffer.alloc(32),
};
const reason = {
  code: 'SNP_DEBUG',
  message: 'm',
  remedy: 'r',
  participant: '',
  namespace: 'x-snp',
  path: '',
};

function frames(): readonly Uint8Array[] {
  const messages: readonly SessionRequest['message'][] = [
    { $case: 'hello', value: hello },
    { $case: 'heartbeat', value: { seq: 1n, ackedThrough: 1n, jobsDigest: Buffer.alloc(32) } },
    {
      $case: 'attestation',
      value: { challengeId: 'c', tokens: [{ namespace: 'x-snp', jws: 'a.b.c' }], failures: [reason] },
    },
    { $case: 'commandAck', value: { seq: 1n, outcome: 2, reasons: [reason] } },
    { $case: 'jobCheck', value: { jobId: 'job-1', generation: 1n, accepted: false, reasons: [reason] } },
    { $case: 'jobReport', value: { jobId: 'job-1', generation: 1n, state: 3, exitCode: -1, reasons: [] } },
  ];
  return messages.map((message) => SessionRequest.encode({ message }).finish());
}

/** Generated decoders throw an Error or a RangeError for bytes that are no message, which gRPC answers for them. */
const documentsDecoder = (error: Error): boolean => !(error instanceof TypeError);

/** What the parties of a federation send one another. */
export const federationTargets: readonly NamedTarget[] = [
  attestationToken,
  attestationClaims,
  permit,
  parserTarget(
    'session-frame',
    (bytes) => {
      const message = readFrame(bytes);
      if ('reasons' in message.value) reasonsFrom(message.value.reasons, 'site-1');
    },
    frames,
  ),
  parserTarget(
    'messages',
    (bytes) => [SessionResponse, EnrollRequest, SubmitJobRequest].map((type) => type.decode(bytes)),
    () => [
      ...frames(),
      EnrollRequest.encode({
        ...EnrollRequest.create(),
        challengeId: 'c',
        joinToken: 'muster-join-AAAA',
        certificateRequest: Buffer.alloc(8),
        tokens: [{ namespace: 'x-snp', jws: 'a.b.c' }],
      }).finish(),
    ],
    { documents: documentsDecoder },
  ),
  parserTarget(
    'service-error',
    (bytes) => {
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', Buffer.from(bytes));
      const error = { name: '', message: '', details: '', code: status.INTERNAL, metadata };
      toStatus(fromServiceError(error));
    },
    () => {
      const { metadata } = toStatus(refusal('SNP_DEBUG', { participant: 'site-1' }));
      const [details] = metadata?.get('grpc-status-details-bin') ?? [];
      return [Buffer.from(details ?? '')];
    },
  ),
  parserTarget(
    'spiffe-id',
    (bytes) => {
      const uri = utf8(bytes);
      const identity = parseSpiffeId(uri);
      if (identity !== undefined && formatSpiffeId(identity) !== uri)
        throw new Error(`reads ${uri} otherwise`);
    },
    () => [`spiffe://${trustDomain}/site/site-1`, `spiffe://${trustDomain}/operator/o`],
    { words: ['spiffe', 'site', 'server', 'framework', 'auditor', '%2f', '..'] },
  ),
  parserTarget(
    'duration',
    (bytes) => {
      const ms = parseDuration(utf8(bytes));
      if (ms !== undefined && parseDuration(formatDuration(ms)) !== ms) throw new Error(`${ms} is lost`);
    },
    () => ['500ms', '30s', '10m', '1h', '7d', '999999999d'],
  ),
  parserTarget(
    'audit-record',
    (bytes) => {
      const content = utf8(bytes);
      const previousHash = emptyChain.hash;
      verifyChain([{ seq: 1, content, previousHash, hash: chainHash(previousHash, content) }]);
    },
    () => ['{"seq":1,"event":"participant.verified"}'],
  ),
];
