import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { refusal } from '@muster/shared/errors.js';
import { certificateIdentity, publicKeyHash } from '@muster/shared/pki/certificate.js';
import { presentedChain } from './presented-chain.js';

/** What an agent trusts a server by. */
export interface ServerTrust {
  /** The roots that every connection is verified against, PEM. */
  readonly trustBundle: string;
  readonly trustDomain: string;
}

/** What the configuration says about trust. */
export interface TrustOptions {
  readonly ca_hash?: string | undefined;
  readonly bundle_file?: string | undefined;
}

const probeTimeoutMs = 10_000;

/**
 * Finds out what to trust. With a pinned hash it is exactly the CA certificate of that key, taken from the chain that
 * the server presents. A trust domain that is not configured is that of the presented certificate; the connections
 * that follow verify both. Errors: SERVER_IDENTITY_MISMATCH, SERVER_UNREACHABLE, FILE_UNREADABLE, CONFIG_INVALID.
 */
export async function establishTrust(
  options: TrustOptions,
  address: string,
  configuredTrustDomain: string | undefined,
): Promise<ServerTrust> {
  const bundle = options.bundle_file === undefined ? undefined : readBundle(options.bundle_file);
  if (bundle !== undefined && configuredTrustDomain !== undefined) {
    return { trustBundle: bundle, trustDomain: configuredTrustDomain };
  }
  const chain = await presentedChain(address, probeTimeoutMs);
  const trustBundle = bundle ?? pinned(chain, options.ca_hash ?? '');
  const [leaf] = chain;
  const identity = leaf && certificateIdentity(leaf);
  const trustDomain = configuredTrustDomain ?? identity?.trustDomain;
  if (identity?.role !== 'server' || trustDomain === undefined || identity.trustDomain !== trustDomain) {
    const message = `The certificate of ${address} is not one of a server of the trust domain ${trustDomain ?? ''}.`;
    throw refusal('SERVER_IDENTITY_MISMATCH', { message });
  }
  return { trustBundle, trustDomain };
}

/** The certificate of a pinned CA among those presented, PEM. */
function pinned(chain: readonly X509Certificate[], caHash: string): string {
  const pin = Buffer.from(caHash);
  const found = chain.find((certificate) => {
    const hash = Buffer.from(publicKeyHash(certificate));
    return certificate.ca && hash.length === pin.length && timingSafeEqual(hash, pin);
  });
  if (found !== undefined) return found.toString();
  throw refusal('SERVER_IDENTITY_MISMATCH', { message: 'The server presents no CA with the pinned hash.' });
}

function readBundle(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${file} cannot be read.`, path: 'trust.bundle_file' },
      cause,
    );
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    const certificates = blocks.map((pem) => new X509Certificate(pem)).filter(({ ca }) => ca);
    if (certificates.length > 0) return certificates.map(String).join('');
  } catch {
    // What cannot be read is as good as nothing.
  }
  const message = `trust.bundle_file: ${file} holds no CA certificate.`;
  throw refusal('CONFIG_INVALID', { message, path: 'trust.bundle_file' });
}
