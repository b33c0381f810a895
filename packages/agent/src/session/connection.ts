import { X509Certificate } from 'node:crypto';
import { status, type ChannelCredentials, type StatusObject } from '@grpc/grpc-js';
import { refusal, type MusterError } from '@muster/shared/errors.js';
import { AgentServiceClient, type SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { clientChannelOptions } from '@muster/shared/grpc/credentials.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';
import { certificateIdentity, publicKeyDer } from '@muster/shared/pki/certificate.js';
import type { Identity } from '@muster/shared/spiffe.js';
import type { Outgoing } from './outbox.js';

/** The server as its certificate names it. */
export interface ServerPeer {
  readonly identity: Identity & { readonly role: 'server' };
  /** The key of its certificate, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

/** One stream of the session, on a connection of its own. */
export interface Connection {
  readonly client: AgentServiceClient;
  /** Who answers; undefined before the first message has come. */
  server(): ServerPeer | undefined;
  send(message: Outgoing): void;
  /** Ends this side's part, after what was sent. */
  end(): void;
  abort(): void;
}

/** What a connection tells its owner. */
export interface ConnectionListener {
  readonly onMessage: (message: SessionResponse['message']) => void;
  /** Called once, whoever ended the stream. */
  readonly onClosed: (error: MusterError) => void;
}

/** The largest message that is read, bytes: a participant's tokens with their endorsements. */
const maxMessageBytes = 4 * 1024 * 1024;

/** Options of every client of the server; each client has its own connection, so that a new certificate is used. */
export const clientOptions = {
  ...clientChannelOptions,
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
} as const;

/** Opens a session stream. Its reader is attached at once: a stream that nobody reads has no bounds on its memory. */
export function openConnection(
  address: string,
  credentials: ChannelCredentials,
  { onMessage, onClosed }: ConnectionListener,
): Connection {
  const client = new AgentServiceClient(address, credentials, clientOptions);
  const call = client.session();
  call.on('data', ({ message }: SessionResponse) => onMessage(message));
  call.on('error', () => undefined);
  call.once('status', (ended: StatusObject) => {
    onClosed(closingError(ended));
    client.close();
  });
  return {
    client,
    server: () => serverPeer(call.getAuthContext()?.sslPeerCertificate?.raw),
    send: (message) => {
      if (call.writable) call.write({ message });
    },
    end: () => call.end(),
    abort: () => call.cancel(),
  };
}

function closingError(ended: StatusObject): MusterError {
  if (ended.code === status.OK) {
    return refusal('SERVER_UNREACHABLE', { message: 'The server ended the session.' });
  }
  return fromServiceError(Object.assign(new Error(ended.details), ended));
}

function serverPeer(raw: Buffer | undefined): ServerPeer | undefined {
  if (raw === undefined) return undefined;
  const certificate = new X509Certificate(raw);
  const identity = certificateIdentity(certificate);
  if (identity === undefined || identity.role !== 'server') return undefined;
  return { identity: { ...identity, role: 'server' }, publicKey: publicKeyDer(certificate.publicKey) };
}
