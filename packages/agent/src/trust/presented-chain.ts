import { X509Certificate } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { refusal } from '@muster/shared/errors.js';

/** The longest chain that is looked at. */
const maxDepth = 8;

/**
 * Connects by TLS without any trust, sends nothing, and returns the chain that the server presents, the leaf first.
 * Errors: SERVER_UNREACHABLE.
 */
export function presentedChain(address: string, timeoutMs: number): Promise<readonly X509Certificate[]> {
  const separator = address.lastIndexOf(':');
  const host = address.slice(0, separator).replaceAll(/[[\]]/g, '');
  return new Promise((resolve, reject) => {
    // The chain is only compared with the pin; every connection that carries anything is verified.
    const socket = connect({
      host,
      port: Number(address.slice(separator + 1)),
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      timeout: timeoutMs,
    });
    const fail = (cause?: Error): void => {
      socket.destroy();
      const message = `${address} cannot be reached: ${cause?.message ?? 'it does not answer'}.`;
      reject(refusal('SERVER_UNREACHABLE', { message }, cause));
    };
    socket.once('error', fail);
    socket.once('timeout', () => fail());
    socket.once('secureConnect', () => {
      resolve(chainOf(socket.getPeerCertificate(true)));
      socket.destroy();
    });
  });
}

function chainOf(leaf: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = leaf;
  while (next?.raw !== undefined && chain.length < maxDepth) {
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}
