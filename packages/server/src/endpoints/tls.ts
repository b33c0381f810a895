import { ServerCredentials } from '@grpc/grpc-js';
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/** What the server shows of itself. */
export interface TlsIdentity {
  /** The private key, PEM. */
  readonly key: string;
  /** The certificate chain, PEM, the leaf first and the root last, so that an agent can pin the CA. */
  readonly chain: string;
}

/** How long a peer may take for the TLS handshake, ms. */
const handshakeTimeoutMs = 10_000;

/**
 * TLS 1.3 credentials of an endpoint, whose certificate can be replaced while it serves. With `clients`, the CA
 * certificates in PEM, every connection without a client certificate of that CA is refused by TLS itself.
 */
export class EndpointCredentials extends ServerCredentials {
  constructor(identity: TlsIdentity, clients?: string) {
    super(
      {
        handshakeTimeout: handshakeTimeoutMs,
        requestCert: clients !== undefined,
        rejectUnauthorized: clients !== undefined,
      },
      contextOf(identity, clients),
    );
  }

  /** Shows another certificate to connections from now on, and takes the clients of other CAs. */
  replace(identity: TlsIdentity, clients?: string): void {
    this.updateSecureContextOptions(contextOf(identity, clients));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** Sessions are not resumed: every connection shows its certificate. */
function contextOf({ key, chain }: TlsIdentity, clients: string | undefined): SecureContextOptions {
  return {
    key,
    cert: chain,
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(clients !== undefined && { ca: clients }),
  };
}
