import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  revocationList,
  snpHierarchy,
  type KeyHolder,
  type SnpHierarchy,
  type SnpProduct,
} from '../../support/snp-builder.js';

/** A simulated vendor in a directory: all simulated devices of a federation share one. */
export interface SimulatedVendor extends SnpHierarchy {
  readonly directory: string;
  /** The root certificate, PEM. */
  readonly rootFile: string;
  /** An offline directory of endorsements, with the vendor's chain and revocation list. */
  readonly endorsements: string;
}

const authorities = ['ark', 'ask', 'asvk'] as const;

/** Makes a vendor: its keys, certificates and revocation list. Takes about a second, for RSA keys are slow to find. */
export function createVendor(directory: string, product: SnpProduct = 'Milan'): SimulatedVendor {
  const hierarchy = snpHierarchy({ product, keySet: directory });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, 'product'), product);
  for (const name of authorities) {
    const { certificate, privateKey } = hierarchy[name];
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(directory, `${name}.pem`), toPem(certificate));
    writeFileSync(join(directory, `${name}.key.pem`), key, { mode: 0o600 });
  }
  const offline = (name: string): string =>
    join(directory, 'endorsements', 'amd', 'vcek', 'v1', product, name);
  mkdirSync(dirname(offline('crl')), { recursive: true });
  writeFileSync(offline('cert_chain'), toPem(hierarchy.ask.certificate) + toPem(hierarchy.ark.certificate));
  writeFileSync(offline('crl'), revocationList(hierarchy));
  return withPaths(directory, hierarchy);
}

/** Reads a vendor that {@link createVendor} made. */
export function loadVendor(directory: string): SimulatedVendor {
  const holder = (name: string): KeyHolder => {
    const certificate = new X509Certificate(readFileSync(join(directory, `${name}.pem`)));
    const privateKey = createPrivateKey(readFileSync(join(directory, `${name}.key.pem`)));
    const commonName = /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '';
    return { name: commonName, certificate: certificate.raw, privateKey };
  };
  const [ark, ask, asvk] = [holder('ark'), holder('ask'), holder('asvk')];
  const product = readFileSync(join(directory, 'product'), 'utf8') as SnpProduct;
  return withPaths(directory, { product, ark, ask, asvk, rootFingerprint: fingerprint(ark.certificate) });
}

function withPaths(directory: string, hierarchy: SnpHierarchy): SimulatedVendor {
  return {
    ...hierarchy,
    directory,
    rootFile: join(directory, 'ark.pem'),
    endorsements: join(directory, 'endorsements'),
  };
}

function toPem(certificate: Uint8Array): string {
  return new X509Certificate(certificate).toString();
}

function fingerprint(certificate: Uint8Array): string {
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}
