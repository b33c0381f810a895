import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import type { TlsIdentity } from '../endpoints/tls.js';
import type { Store } from '../store/store.js';
import type { CertificateAuthority } from './authority.js';
import { createKey, keyPem } from './key-file.js';

const lifetimeMs = 86_400_000;
/** When a renewal that failed is tried again, ms. */
const retryMs = 60_000;

/** What the server's own certificate is made with. */
export interface ServerCertificateOptions {
  readonly store: Store;
  readonly ca: CertificateAuthority;
  readonly name: string;
  /** The DNS names and IP addresses that clients use. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The server's key, which never leaves its memory and which its evidence is bound to, with its certificate. */
export interface ServerCertificate {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** The latest certificate. */
  readonly tls: TlsIdentity;
  /** The number of the CA that issued it. */
  readonly authority: number;
  /** Renews the certificate now, for the same key, and tells who keeps it fresh. Errors: STORE_*. */
  renew(): Promise<void>;
  /** Renews the certificate at half of its life. Returns the way to end that. */
  keepFresh(onRenewed: () => void): () => void;
}

/** Makes the server's key and its first certificate. Errors: STORE_*. */
export async function certifyServer(options: ServerCertificateOptions): Promise<ServerCertificate> {
  const { clock, logger, name } = options;
  const privateKey = createKey();
  let { tls, authority } = await certify(options, privateKey);
  let handOn = (): void => undefined;
  const renew = async (): Promise<void> => {
    ({ tls, authority } = await certify(options, privateKey));
    handOn();
    logger.info('certificate.renewed', { subject: name });
  };
  return {
    privateKey,
    publicKey: publicKeyDer(createPublicKey(privateKey)),
    get tls() {
      return tls;
    },
    get authority() {
      return authority;
    },
    renew,
    keepFresh(onRenewed) {
      handOn = onRenewed;
      let timer: Timer;
      const arm = (delayMs: number): void => {
        timer = clock.schedule(delayMs, () => void keep());
      };
      const keep = async (): Promise<void> => {
        try {
          await renew();
          arm(lifetimeMs / 2);
        } catch (error) {
          arm(retryMs);
          logger.error('certificate.renewal_failed', { subject: name, ...errorFields(error) });
        }
      };
      arm(lifetimeMs / 2);
      return () => timer.cancel();
    },
  };
}

async function certify(
  { store, ca, name, hosts }: ServerCertificateOptions,
  privateKey: KeyObject,
): Promise<{ readonly tls: TlsIdentity; readonly authority: number }> {
  const publicKey = publicKeyDer(createPublicKey(privateKey));
  const subject = { role: 'server', name } as const;
  const { number: authority, der } = ca.active;
  const { chain } = await store.transaction((tx) => ca.issue(tx, subject, publicKey, lifetimeMs, hosts));
  return { tls: { key: keyPem(privateKey), chain: toPem([...chain, der]) }, authority };
}
