import type { ServiceError } from '@grpc/grpc-js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import type { AgentServiceClient } from '@muster/shared/gen/muster/v1/agent.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';

/**
 * Fetches the tokens of participants, by name; whoever has none is left out. More answers than questions, and a second
 * answer for the same name, are not taken. Errors: those of AgentService.GetTokens; the signal's reason when aborted.
 */
export function fetchTokens(
  client: AgentServiceClient,
  participants: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ParticipantTokens>> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const found = new Map<string, ParticipantTokens>();
    const call = client.getTokens({ participants });
    const onAbort = (): void => {
      call.cancel();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    call.on('data', ({ tokens }: { tokens: ParticipantTokens | undefined }) => {
      if (tokens === undefined || !participants.includes(tokens.participant)) return;
      if (!found.has(tokens.participant)) found.set(tokens.participant, tokens);
    });
    call.on('error', (error: ServiceError) => {
      signal.removeEventListener('abort', onAbort);
      reject(fromServiceError(error));
    });
    call.on('end', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(found);
    });
  });
}
