import { peek, type ServiceClaims } from './token.js';

/** More than any service's answer, bytes. */
const maxEvidenceBytes = 256 * 1024;

/** What a service answered, taken apart. */
export interface Bundle {
  /** The token about the whole machine. */
  readonly main: string;
  /** Tokens about single devices, by the names that the answer gives them. */
  readonly devices?: ReadonlyMap<string, string>;
}

/** The claims of a bundle whose every signature holds. */
export interface OpenBundle {
  readonly main: ServiceClaims;
  readonly devices: ReadonlyMap<string, ServiceClaims>;
  readonly bundle: Bundle;
}

/** An answer that is one compact JWT, alone or as `{"token": ...}`. */
export function readSingle(text: string): Bundle | undefined {
  if (!text.startsWith('{')) return { main: text };
  try {
    const { token } = JSON.parse(text) as { token?: unknown };
    return typeof token === 'string' ? { main: token } : undefined;
  } catch {
    return undefined;
  }
}

/** Takes an answer apart and reads its claims, unverified; undefined when it is none. */
export function openUnverified(
  evidence: Uint8Array,
  read: (text: string) => Bundle | undefined,
): OpenBundle | undefined {
  if (evidence.length > maxEvidenceBytes) return undefined;
  const bundle = read(Buffer.from(evidence).toString('utf8').trim());
  const main = bundle === undefined ? undefined : peek(bundle.main);
  if (bundle === undefined || main === undefined) return undefined;
  const devices = new Map<string, ServiceClaims>();
  for (const [name, token] of bundle.devices ?? []) {
    const claims = peek(token);
    if (claims === undefined) return undefined;
    devices.set(name, claims);
  }
  return { main, devices, bundle };
}
