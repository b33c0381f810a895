import type { Welcome } from '@muster/shared/gen/muster/v1/agent.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import type { ServerPeer } from '../session/connection.js';
import type { Appraiser } from './appraiser.js';

/**
 * Appraises the evidence of a Welcome: it must answer this session's nonce, be made for this site, and be bound to the
 * key of the server's certificate. Returns why the server is not proven, SERVER_UNPROVEN first; nothing when it is.
 */
export async function judgeServer(
  appraise: Appraiser,
  own: Identity,
  peer: ServerPeer,
  welcome: Pick<Welcome, 'serverAttestation'>,
  nonce: Uint8Array,
): Promise<readonly Reason[]> {
  const { proven, reasons } = await appraise(welcome.serverAttestation, {
    identity: peer.identity,
    audience: formatSpiffeId(own),
    nonce,
    publicKey: peer.publicKey,
  });
  return proven ? [] : [reason('SERVER_UNPROVEN', { participant: peer.identity.name }), ...reasons];
}
