import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { refusal } from '@muster/shared/errors.js';
import { clientCredentials } from '@muster/shared/grpc/credentials.js';
import { certificateIdentity, publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import type { ServerTrust } from '../trust/server-trust.js';

/** A key pair that lives in this process's memory only; ECDSA P-256. */
export interface AgentKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

/** A key with the certificate that the federation's CA issued for it. */
export interface Credential {
  readonly key: AgentKey;
  readonly identity: Identity;
  /** The chain, PEM, the leaf first. */
  readonly chain: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Makes a key pair. */
export function generateKey(): AgentKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, publicKey, spki: publicKeyDer(publicKey) };
}

/**
 * Takes a certificate chain from the server, the leaf first. It must be for exactly this key and identity.
 * Errors: CERTIFICATE_UNUSABLE.
 */
export function readCredential(chain: readonly Uint8Array[], key: AgentKey, identity: Identity): Credential {
  const [leaf] = parseChain(chain);
  const named = leaf && certificateIdentity(leaf);
  const fits =
    leaf?.checkPrivateKey(key.privateKey) === true &&
    named !== undefined &&
    formatSpiffeId(named) === formatSpiffeId(identity);
  if (!fits) throw refusal('CERTIFICATE_UNUSABLE');
  return {
    key,
    identity,
    chain: toPem(chain),
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
  };
}

/** The credentials of connections to the mTLS endpoint. */
export function channelCredentials(trust: ServerTrust, { chain, key }: Credential): ChannelCredentials {
  const pem = key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return clientCredentials({ ...trust, certificate: { chain, key: pem } });
}

/** Whether a CA, given by its certificate, has issued the credential's certificate. */
export function isIssuedBy({ chain }: Credential, root: X509Certificate): boolean {
  const leaf = new X509Certificate(chain);
  return leaf.checkIssued(root) && leaf.verify(root.publicKey);
}

function parseChain(chain: readonly Uint8Array[]): X509Certificate[] {
  try {
    return chain.map((der) => new X509Certificate(der));
  } catch (cause) {
    throw refusal('CERTIFICATE_UNUSABLE', {}, cause);
  }
}
