import { createPublicKey, type KeyObject } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAuthority } from '@muster/server/ca/authority.js';
import { createKey, keyPem } from '@muster/server/ca/key-file.js';
import { insertParticipant, updateParticipant } from '@muster/server/store/participants.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { systemClock } from '@muster/shared/clock.js';
import { publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import type { Role } from '@muster/shared/spiffe.js';
import { createVendor, type SimulatedVendor } from '../devices/snp/vendor.js';
import type { TlsMaterial } from './framed-stream.js';

export const trustDomain = 'bench.example';

/** A client with a certificate of the federation. */
export interface Member {
  readonly name: string;
  readonly tls: TlsMaterial;
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array;
}

/** A data directory in which every site has enrolled, and what the sites hold. */
export interface BenchFederation {
  readonly sites: readonly Member[];
  readonly operator: Member;
  /** What the yardsticks show of themselves. */
  readonly server: Member;
  readonly vendor: SimulatedVendor;
  /** A copy of the data directory for one server; below `parent`, by default on the disk. */
  dataDirectory(parent?: string): string;
  close(): void;
}

const lifetimeMs = 86_400_000;

/** Makes a federation of so many enrolled sites. Their certificates are issued by the server's own CA code. */
export async function createBenchFederation(size: number): Promise<BenchFederation> {
  const root = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const data = join(root, 'data');
  const store = await openSqliteStore(data, 'administration');
  const ca = await openAuthority(store, data, trustDomain, systemClock);
  const certify = (role: Role, name: string): Promise<Member> =>
    store.transaction(async (tx) => {
      const privateKey = createKey();
      const publicKey = publicKeyDer(createPublicKey(privateKey));
      const { chain } = await ca.issue(tx, { role, name }, publicKey, lifetimeMs, ['127.0.0.1']);
      if (role === 'site') {
        const now = Date.now();
        await insertParticipant(tx, { name, role, invited_at: now });
        await updateParticipant(tx, name, {
          public_key: Buffer.from(publicKey).toString('base64'),
          enrolled_at: now,
        });
      }
      const tls = { key: keyPem(privateKey), chain: toPem(chain), bundle: ca.bundlePem };
      return { name, tls, privateKey, publicKey };
    });
  const sites: Member[] = [];
  for (let index = 0; index < size; index += 1) sites.push(await certify('site', `site-${index}`));
  const operator = await certify('operator', 'operator');
  const server = await certify('server', 'yardstick');
  await store.close();
  const copies: string[] = [];
  return {
    sites,
    operator,
    server,
    vendor: createVendor(join(root, 'vendor')),
    dataDirectory(parent = root) {
      const copy = mkdtempSync(join(parent, 'muster-bench-data-'));
      cpSync(data, copy, { recursive: true });
      copies.push(copy);
      return copy;
    },
    close() {
      for (const directory of [root, ...copies]) rmSync(directory, { recursive: true, force: true });
    },
  };
}
