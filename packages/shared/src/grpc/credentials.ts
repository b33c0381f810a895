import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { X509Certificate } from 'node:crypto';
import { certificateIdentity } from '../pki/certificate.js';

/** What a client trusts and who it is. */
export interface ClientIdentity {
  /** The federation's CA certificates, PEM. */
  readonly trustBundle: string;
  readonly trustDomain: string;
  /** The client's own certificate chain and key, PEM; absent on the enrolment endpoint. */
  readonly certificate?: { readonly chain: string; readonly key: string };
}

/**
 * TLS 1.3 credentials that accept a peer only if the federation CA certified it as a server of the trust domain.
 * The name in the SPIFFE id decides, not the host name: sites hold certificates of the same CA.
 */
export function clientCredentials({
  trustBundle,
  trustDomain,
  certificate,
}: ClientIdentity): ChannelCredentials {
  return credentials.createSsl(
    Buffer.from(trustBundle),
    certificate === undefined ? null : Buffer.from(certificate.key),
    certificate === undefined ? null : Buffer.from(certificate.chain),
    {
      checkServerIdentity: (_host, { raw }) => {
        const identity = certificateIdentity(new X509Certificate(raw));
        const accepted = identity?.role === 'server' && identity.trustDomain === trustDomain;
        return accepted
          ? undefined
          : new Error(`the peer is not a server of the trust domain ${trustDomain}`);
      },
    },
  );
}

/**
 * The options that every channel with {@link clientCredentials} needs. TLS wants a server name, which must not be an IP
 * address (RFC 6066, section 3); any other will do, for the SPIFFE id is what is checked.
 */
export const clientChannelOptions = {
  'grpc.ssl_target_name_override': 'muster-server',
  'grpc.enable_channelz': 0,
} as const;
