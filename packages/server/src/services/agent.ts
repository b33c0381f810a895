import { refusal } from '@muster/shared/errors.js';
import {
  AgentServiceService,
  type GetTokensResponse,
  type RenewCertificateRequest,
  type RenewCertificateResponse,
  type SessionResponse,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import { openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import type { CertificateAuthority } from '../ca/authority.js';
import type { Service } from '../endpoints/endpoint.js';
import type { Caller } from '../middleware/caller.js';
import { serverStream, unary } from '../middleware/handlers.js';
import { messageStream } from '../middleware/message-stream.js';
import type { Audit, Registry } from '../ports.js';
import type { SessionHub } from '../sessions/hub.js';
import { participantTokens } from '../sessions/participant-tokens.js';
import type { Store } from '../store/store.js';
import { requireNames } from './validation.js';

/** What the agent service works with. */
export interface AgentServiceOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly hub: SessionHub;
  readonly ca: CertificateAuthority;
  readonly audit: Audit;
  /** How long a site's certificate lives, ms. */
  readonly certificateLifetimeMs: number;
  readonly logger: Logger;
}

/** The service, with the frames of a session as bytes: what is malformed or oversized is refused with a reason. */
const definition = {
  ...AgentServiceService,
  session: { ...AgentServiceService.session, requestDeserialize: (bytes: Buffer): Uint8Array => bytes },
};

/** muster.v1.AgentService. */
export function agentService(options: AgentServiceOptions): Service {
  const { registry, hub } = options;
  return {
    definition,
    implementation: {
      session: messageStream<Uint8Array, SessionResponse>((responses, caller) =>
        hub.serve(responses, caller),
      ),
      getTokens: serverStream(({ participants }: { readonly participants: readonly string[] }) =>
        tokensOf(registry, requireNames(participants, 'participants')),
      ),
      renewCertificate: unary((request: RenewCertificateRequest, { caller }) =>
        renew(options, caller, request),
      ),
    },
  };
}

async function* tokensOf(registry: Registry, names: readonly string[]): AsyncGenerator<GetTokensResponse> {
  for (const name of names) {
    const participant = registry.find(name);
    if (participant === undefined || participant.tokens.length === 0) continue;
    yield { tokens: participantTokens(name, participant.role, participant.tokens) };
  }
}

/** A fresh certificate for the key that the caller enrolled with, and for no other. Errors: CERTIFICATE_*. */
async function renew(
  { store, registry, ca, audit, certificateLifetimeMs, logger }: AgentServiceOptions,
  caller: Caller,
  { certificateRequest }: RenewCertificateRequest,
): Promise<RenewCertificateResponse> {
  const { name, spiffeId } = caller;
  const publicKey = openCertificateRequest(certificateRequest);
  if (!Buffer.from(publicKey).equals(caller.publicKey)) throw refusal('CERTIFICATE_REQUEST_INVALID');
  const enrolled = registry.find(name)?.publicKey;
  if (enrolled === undefined || !Buffer.from(enrolled).equals(publicKey))
    throw refusal('CERTIFICATE_REVOKED');
  const { chain, notAfter } = await store.transaction(async (tx) => {
    const action = 'certificate.renew';
    await audit.append(tx, { actor: spiffeId, action, subject: name, decision: 'done', reasons: [] });
    return ca.issue(tx, { role: 'site', name }, publicKey, certificateLifetimeMs);
  });
  logger.info('certificate.renewed', { participant: name, not_after: notAfter.toISOString() });
  return {
    certificateChain: chain.map((der) => Buffer.from(der)),
    trustBundle: ca.bundle.map((der) => Buffer.from(der)),
  };
}
