import { credentials, type ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
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
 * What a channel with {@link clientCredentials} needs beside them: a server name for TLS that is none of an IP address
 * (RFC 6066, section 3), and the end of a connection whose peer has gone away without a word.
 */
export function clientChannelOptions(trustDomain: string): Partial<ChannelOptions> {
  return {
    'grpc.ssl_target_name_override': trustDomain,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.enable_channelz': 0,
  };
}
