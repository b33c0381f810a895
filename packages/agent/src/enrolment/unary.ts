import type { ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { fromServiceError } from '@muster/shared/grpc/status.js';

/** Makes a unary call; what goes wrong becomes a MusterError. */
export function unary<Response>(
  start: (callback: (error: ServiceError | null, response: Response) => void) => ClientUnaryCall,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    start((error, response) => (error === null ? resolve(response) : reject(fromServiceError(error))));
  });
}

/** The options of a call that must be answered within a time, ms. */
export function within(ms: number): { readonly deadline: number } {
  return { deadline: Date.now() + ms };
}
