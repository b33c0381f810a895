import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAuthority, type CertificateAuthority } from '@muster/server/ca/authority.js';
import { createKey, keyPem } from '@muster/server/ca/key-file.js';
import { EndpointCredentials } from '@muster/server/endpoints/tls.js';
import type { Store } from '@muster/server/store/store.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import type { Role } from '@muster/shared/spiffe.js';
import { FakeClock } from './fake-clock.js';
import { memoryStore } from './store.js';

/** A federation's CA and store, without a server. Its clock starts at the real time, because TLS goes by that. */
export interface TestFederation {
  readonly clock: FakeClock;
  /** Where the CA has its files. */
  readonly directory: string;
  readonly store: Store;
  readonly ca: CertificateAuthority;
  /** What a client of a role shows and trusts. */
  client(role: Role, name?: string, lifetimeMs?: number): Promise<ClientIdentity>;
  /** The credentials of an endpoint; with `mutual`, one that wants client certificates. */
  endpoint(mutual: boolean): Promise<EndpointCredentials>;
  close(): Promise<void>;
}

export async function createFederation(trustDomain = 'federation.example'): Promise<TestFederation> {
  const directory = mkdtempSync(join(tmpdir(), 'muster-federation-'));
  const clock = new FakeClock(new Date());
  const store = await memoryStore();
  const ca = await openAuthority(store, directory, trustDomain, clock);
  const certify = async (
    role: Role,
    name: string,
    lifetimeMs = 3_600_000,
  ): Promise<{ key: string; chain: string }> => {
    const key = createKey();
    const publicKey = publicKeyDer(createPublicKey(key));
    const { chain } = await store.transaction((tx) => ca.issue(tx, { role, name }, publicKey, lifetimeMs));
    return { key: keyPem(key), chain: toPem(chain) };
  };
  return {
    clock,
    directory,
    store,
    ca,
    async client(role, name = `${role}-1`, lifetimeMs) {
      return { trustBundle: ca.bundlePem, trustDomain, certificate: await certify(role, name, lifetimeMs) };
    },
    async endpoint(mutual) {
      const { key, chain } = await certify('server', 'central');
      return new EndpointCredentials({ key, chain: chain + ca.bundlePem }, ...(mutual ? [ca.bundlePem] : []));
    },
    async close() {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
