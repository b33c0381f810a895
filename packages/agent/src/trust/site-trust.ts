import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { toPem } from '@muster/shared/pki/certificate.js';
import { readTrustBundle } from '@muster/shared/pki/trust-bundle.js';
import * as z from 'zod';
import { establishTrust, type ServerTrust, type TrustOptions } from './server-trust.js';

/** What a site knows of its server before it has ever reached it. */
export interface SiteTrustOptions {
  readonly configured: TrustOptions;
  /** host:port of the enrolment endpoint. */
  readonly address: string;
  readonly trustDomain: string | undefined;
  /** Where the CAs that the server has named are kept. */
  readonly file: string;
}

const recordSchema = z.strictObject({
  /** What the configuration said when the first of them was trusted. */
  origin: z.string(),
  trust_domain: z.string(),
  /** DER, base64. */
  certificates: z.array(z.base64()),
});

/**
 * The CAs that a site trusts: at first those of its configuration, later those that a server which it trusted has named.
 * They are kept, so that a site that pins a CA still knows its server when that CA is gone. Another pin or bundle in the
 * configuration begins anew.
 */
export class SiteTrust {
  readonly #options: SiteTrustOptions;

  constructor(options: SiteTrustOptions) {
    this.#options = options;
  }

  /** Finds out what to trust. Errors: those of establishTrust. */
  async establish(): Promise<ServerTrust> {
    const { configured, address, trustDomain } = this.#options;
    return this.#kept() ?? establishTrust(configured, address, trustDomain);
  }

  /** Trusts exactly these CA certificates (DER) from now on. Errors: TRUST_BUNDLE_INVALID. */
  follow(certificates: readonly Uint8Array[], trustDomain: string): ServerTrust {
    const roots = readTrustBundle(certificates, trustDomain);
    const record: z.output<typeof recordSchema> = {
      origin: this.#origin(),
      trust_domain: trustDomain,
      certificates: roots.map(({ raw }) => raw.toString('base64')),
    };
    this.#write(JSON.stringify(record));
    return { trustBundle: roots.map(String).join(''), trustDomain };
  }

  #kept(): ServerTrust | undefined {
    const { trustDomain } = this.#options;
    try {
      const record = recordSchema.parse(JSON.parse(readFileSync(this.#options.file, 'utf8')));
      const isOurs = trustDomain === undefined || record.trust_domain === trustDomain;
      if (!isOurs || record.origin !== this.#origin()) return undefined;
      const certificates = record.certificates.map((text) => Buffer.from(text, 'base64'));
      readTrustBundle(certificates, record.trust_domain);
      return { trustBundle: toPem(certificates), trustDomain: record.trust_domain };
    } catch {
      // Nothing was kept, or nothing that can be used.
      return undefined;
    }
  }

  #origin(): string {
    const { ca_hash, bundle_file } = this.#options.configured;
    if (bundle_file === undefined) return ca_hash ?? '';
    return `file sha256:${createHash('sha256').update(readFileSync(bundle_file)).digest('hex')}`;
  }

  /** At every moment the file holds what was trusted before or what is trusted now. */
  #write(text: string): void {
    const { file } = this.#options;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
  }
}
