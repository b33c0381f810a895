import { expect, it } from '@jest/globals';
import { jwksCache, type JwksCacheOptions } from '@muster/shared/endorsements/jwks-cache.js';
import { resolveServiceKeys } from '@muster/shared/endorsements/service-keys.js';
import { FakeClock } from '../../support/fake-clock.js';

const uri = 'https://service.example/certs';
const keys = { keys: [{ kty: 'RSA', kid: 'one', n: 'AQAB', e: 'AQAB' }] };

/** A service whose answers a test sets. */
class FakeService {
  requests = 0;
  answer: () => Promise<Response> = () => Promise.resolve(Response.json(keys));

  readonly fetch: typeof globalThis.fetch = () => {
    this.requests += 1;
    return this.answer();
  };
}

function cacheOf(service: FakeService, clock: FakeClock, options: Partial<JwksCacheOptions> = {}) {
  return jwksCache({ clock, fetch: service.fetch, freshMs: 1000, staleMs: 5000, retryMs: 100, ...options });
}

it('asks once for callers at the same time, and again only when the keys are no longer fresh', async () => {
  const [service, clock] = [new FakeService(), new FakeClock()];
  const cache = cacheOf(service, clock);
  expect(await Promise.all([cache.keysAt(uri), cache.keysAt(uri)])).toEqual([keys, keys]);
  await clock.advance(999);
  await cache.keysAt(uri);
  expect(service.requests).toBe(1);
  await clock.advance(1);
  await cache.keysAt(uri);
  expect(service.requests).toBe(2);
});

it('serves older keys while the service fails, for a bounded time, and asks no more often than it may', async () => {
  const [service, clock] = [new FakeService(), new FakeClock()];
  const observed: string[] = [];
  const cache = cacheOf(service, clock, { observe: (outcome) => observed.push(outcome) });
  await cache.keysAt(uri);
  await cache.keysAt(uri);
  service.answer = () => Promise.reject(new Error('down'));
  await clock.advance(1000);
  expect(await cache.keysAt(uri)).toEqual(keys);
  expect(await cache.keysAt(uri)).toEqual(keys);
  expect(service.requests).toBe(2);
  await clock.advance(4999);
  expect(await cache.keysAt(uri)).toEqual(keys);
  await clock.advance(1);
  await expect(cache.keysAt(uri)).rejects.toMatchObject({ code: 'ATTESTATION_DEFERRED' });
  service.answer = () => Promise.resolve(Response.json(keys));
  await clock.advance(100);
  expect(await cache.keysAt(uri)).toEqual(keys);
  expect(observed).toEqual(['miss', 'hit', 'fallback', 'fallback', 'fallback', 'failure', 'miss']);
});

it.each([
  ['another status', () => Promise.resolve(new Response('', { status: 503 }))],
  ['no JSON', () => Promise.resolve(new Response('<html>'))],
  ['no keys', () => Promise.resolve(Response.json({ keys: [] }))],
  ['a private key', () => Promise.resolve(Response.json({ keys: [{ kty: 'RSA', d: 'AA' }] }))],
  ['a secret', () => Promise.resolve(Response.json({ keys: [{ kty: 'oct', k: 'AA' }] }))],
  ['too much', () => Promise.resolve(new Response(' '.repeat(2000)))],
])('takes %s for no answer', async (_, answer) => {
  const service = new FakeService();
  service.answer = answer;
  const cache = cacheOf(service, new FakeClock(), { maxBytes: 1000 });
  await expect(cache.keysAt(uri)).rejects.toMatchObject({ code: 'ATTESTATION_DEFERRED' });
});

it('gives up on a service that does not answer', async () => {
  const [service, clock] = [new FakeService(), new FakeClock()];
  const cache = jwksCache({
    clock,
    timeoutMs: 500,
    fetch: (_, init) =>
      new Promise((_resolve, reject) => {
        service.requests += 1;
        init?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
      }),
  });
  const answer = cache.keysAt(uri).catch((error: unknown) => error);
  await clock.advance(500);
  expect(await answer).toMatchObject({ code: 'ATTESTATION_DEFERRED' });
  expect(service.requests).toBe(1);
});

it('fetches the keys that a policy does not pin, and says which could not be had', async () => {
  const service = new FakeService();
  service.answer = () => Promise.reject(new Error('down'));
  const cache = cacheOf(service, new FakeClock());
  const pinned = { issuer: 'pinned', jwks: keys, jwks_uri: uri };
  const failing = await resolveServiceKeys(
    [pinned, { issuer: 'fetched', jwks_uri: uri }, { issuer: 'bare' }],
    cache,
  );
  expect(failing).toMatchObject({ serviceKeys: [], deferred: [{ code: 'ATTESTATION_DEFERRED' }] });
  service.answer = () => Promise.resolve(Response.json(keys));
  const working = await resolveServiceKeys(
    [{ issuer: 'fetched', jwks_uri: uri }],
    cacheOf(service, new FakeClock()),
  );
  expect(working).toEqual({ serviceKeys: [{ issuer: 'fetched', keys }], deferred: [] });
});
