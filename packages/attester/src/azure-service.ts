import { TextDecoder } from 'node:util';
import type * as z from 'zod';
import { generationFailed } from './attester.js';

/** The longest answer that is read, bytes. */
const maxBytes = 256 * 1024;

/**
 * Asks a service beside the machine, over HTTP, for JSON of a shape. Errors: ATTESTATION_GENERATION_FAILED when it cannot
 * be reached or answers anything else; the signal's reason.
 */
export async function askService<T>(
  namespace: string,
  url: string,
  request: RequestInit & { readonly signal: AbortSignal },
  schema: z.ZodType<T>,
): Promise<T> {
  const response = await reach(namespace, url, request);
  if (response.status !== 200) {
    await response.body?.cancel();
    throw generationFailed(namespace, `${url} answered ${response.status}.`);
  }
  try {
    return schema.parse(JSON.parse(await readText(response)));
  } catch (cause) {
    request.signal.throwIfAborted();
    throw generationFailed(namespace, `${url} returned an answer that is not understood.`, cause);
  }
}

async function reach(
  namespace: string,
  url: string,
  request: RequestInit & { readonly signal: AbortSignal },
): Promise<Response> {
  try {
    return await fetch(url, { ...request, redirect: 'error' });
  } catch (cause) {
    request.signal.throwIfAborted();
    throw generationFailed(namespace, `${url} cannot be reached.`, cause);
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > maxBytes) throw new RangeError('the answer is too long');
  }
  return text;
}
