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
  /** Renews the certificate at half of its life, for the same key, and hands it on. Returns the way to end that. */
  keepFresh(onRenewed: (tls: TlsIdentity) => void): () => void;
}

/** Makes the server's key and its first certificate. Errors: STORE_*. */
export async function certifyServer(options: ServerCertificateOptions): Promise<ServerCertificate> {
  const { clock, logger } = options;
  const privateKey = createKey();
  let tls = await certify(options, privateKey);
  return {
    privateKey,
    publicKey: publicKeyDer(createPublicKey(privateKey)),
    get tls() {
      return tls;
    },
    keepFresh(onRenewed) {
      let timer: Timer;
      const renew = async (): Promise<void> => {
        try {
          tls = await certify(options, privateKey);
          onRenewed(tls);
          arm(lifetimeMs / 2);
          logger.info('certificate.renewed', { subject: options.name });
        } catch (error) {
          arm(retryMs);
          logger.error('certificate.renewal_failed', { subject: options.name, ...errorFields(error) });
        }
      };
      const arm = (delayMs: number): void => {
        timer = clock.schedule(delayMs, () => void renew());
      };
      arm(lifetimeMs / 2);
      return () => timer.cancel();
    },
  };
}

async function certify(
  { store, ca, name, hosts }: ServerCertificateOptions,
  privateKey: KeyObject,
): Promise<TlsIdentity> {
  const publicKey = publicKeyDer(createPublicKey(privateKey));
  const subject = { role: 'server', name } as const;
  const { chain } = await store.transaction((tx) => ca.issue(tx, subject, publicKey, lifetimeMs, hosts));
  return { key: keyPem(privateKey), chain: toPem([...chain, ...ca.bundle]) };
}
