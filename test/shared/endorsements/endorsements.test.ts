import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { amdKeyService } from '@muster/shared/endorsements/amd-key-service.js';
import { cached } from '@muster/shared/endorsements/cache.js';
import type { Endorsement, EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { deferral, endorsementSource, resolveFor } from '@muster/shared/endorsements/resolve.js';
import { MusterError } from '@muster/shared/errors.js';
import type { EndorsementQuery } from '@muster/shared/evidence/appraisal.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import { FakeClock } from '../../support/fake-clock.js';
import { chipCertificate, revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { certificateGuids, certificateTable } from '../../support/snp-report.js';
import { snpCase, verdict } from '../../support/snp-case.js';

const milan = snpHierarchy();
const crlQuery: EndorsementQuery = { vendor: 'amd', kind: 'crl', path: 'vcek/v1/Milan/crl' };
const chainQuery: EndorsementQuery = {
  vendor: 'amd',
  kind: 'certificates',
  path: 'vcek/v1/Milan/cert_chain',
};
const crl = revocationList(milan);
const start = new Date('2026-01-01T00:00:00Z');
const minuteMs = 60_000;

function pem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
}

const chain = pem(milan.ask.certificate) + pem(milan.ark.certificate);

/** What a promise was refused with. */
async function refusalOf(promise: Promise<unknown>): Promise<MusterError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MusterError)) throw new Error(`expected a refusal, not ${String(error)}`);
  return error;
}

describe("AMD's key service", () => {
  let server: Server;
  let baseUrl: string;
  let answer: RequestListener;
  let clock: FakeClock;
  const asked: string[] = [];

  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.setHeader('connection', 'close');
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  beforeEach(() => {
    clock = new FakeClock(start);
    asked.length = 0;
  });
  afterAll(() => server.closeAllConnections());
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  const service = (options: Partial<Parameters<typeof amdKeyService>[0]> = {}): EndorsementStore =>
    amdKeyService({ clock, baseUrl, ...options });

  it('answers with a revocation list and with chains in PEM', async () => {
    answer = ({ url }, response) => void response.end(url?.endsWith('crl') ? crl : chain);
    const store = service();
    expect(await store.fetch(crlQuery)).toEqual({
      items: [crl],
      expiresAt: new Date('2045-01-01T00:00:00Z'),
    });
    const found = await store.fetch(chainQuery);
    expect(found?.items).toEqual([milan.ask.certificate, milan.ark.certificate]);
    expect(asked).toEqual(['/vcek/v1/Milan/crl', '/vcek/v1/Milan/cert_chain']);
  });

  it.each([404, 400])('does not have what it answers %d for', async (status) => {
    answer = (_, response) => void response.writeHead(status).end('no');
    expect(await service().fetch(crlQuery)).toBeUndefined();
  });

  it.each<[string, RequestListener, string]>([
    ['an error', (_, response) => void response.writeHead(500).end(), 'answered 500'],
    ['a redirection', (_, response) => void response.writeHead(302, { location: '/' }).end(), 'reached'],
    ['a page', (_, response) => void response.end('<html>sign in</html>'), 'not readable'],
    ['nothing', (_, response) => void response.end(), 'not readable'],
    ['a torn connection', (request) => void request.socket.destroy(), 'cannot be reached'],
    ['too much', (_, response) => void response.end(Buffer.alloc(5000)), 'longer than 4096 bytes'],
  ])('defers on %s', async (_, listener, message) => {
    answer = listener;
    const error = await refusalOf(service({ maxBytes: 4096 }).fetch(crlQuery));
    expect(error.code).toBe('ATTESTATION_DEFERRED');
    expect(error.message).toContain(message);
  });

  it('defers when it is slow, before the answer or within it', async () => {
    const slow: readonly RequestListener[] = [() => {}, (_, response) => void response.write('x')];
    for (const listener of slow) {
      const arrived = new Promise<void>((resolve) => {
        answer = (request, response) => {
          listener(request, response);
          resolve();
        };
      });
      const refused = refusalOf(service({ timeoutMs: 1000 }).fetch(crlQuery));
      await arrived;
      await clock.advance(1000);
      expect((await refused).message).toContain('did not answer within 1000 ms');
    }
  });

  it('waits as long as it is asked to, and no request is made meanwhile', async () => {
    answer = (_, response) => void response.writeHead(429, { 'retry-after': '30' }).end();
    const store = service();
    expect(await refusalOf(store.fetch(crlQuery))).toMatchObject({ retryAfterMs: 30_000 });
    answer = (_, response) => void response.end(crl);
    await clock.advance(10_000);
    expect(await refusalOf(store.fetch(crlQuery))).toMatchObject({ retryAfterMs: 20_000 });
    expect(asked.length).toBe(1);
    await clock.advance(20_000);
    expect(await store.fetch(crlQuery)).toBeDefined();
  });

  it('understands a date in Retry-After, and waits an hour at most', async () => {
    const header = new Date(start.getTime() + 5 * minuteMs).toUTCString();
    answer = (_, response) => void response.writeHead(503, { 'retry-after': header }).end();
    expect(await refusalOf(service().fetch(crlQuery))).toMatchObject({ retryAfterMs: 5 * minuteMs });
    answer = (_, response) => void response.writeHead(503, { 'retry-after': '999999' }).end();
    expect(await refusalOf(service().fetch(crlQuery))).toMatchObject({ retryAfterMs: 60 * minuteMs });
    answer = (_, response) => void response.writeHead(429, { 'retry-after': 'soon' }).end();
    expect((await refusalOf(service().fetch(crlQuery))).retryAfterMs).toBeUndefined();
  });

  it('keeps to its own rate: a burst, then one by one, then none', async () => {
    answer = (_, response) => void response.end(crl);
    const store = service({ burst: 2, intervalMs: 1000, timeoutMs: 1500 });
    const first = [store.fetch(crlQuery), store.fetch(crlQuery)];
    await Promise.all(first);
    const third = store.fetch(crlQuery);
    expect(await refusalOf(store.fetch(crlQuery))).toMatchObject({ retryAfterMs: 2000 });
    expect(asked.length).toBe(2);
    await clock.advance(1000);
    expect(await third).toBeDefined();
    expect(asked.length).toBe(3);
  });

  it('is left alone for a while when it fails again and again', async () => {
    answer = (_, response) => void response.writeHead(500).end();
    const store = service();
    for (let time = 0; time < 3; time += 1) {
      expect((await refusalOf(store.fetch(crlQuery))).message).toContain('answered 500');
    }
    expect(await refusalOf(store.fetch(crlQuery))).toMatchObject({ retryAfterMs: 5_000 });
    expect(asked.length).toBe(3);
    await clock.advance(5_000);
    await refusalOf(store.fetch(crlQuery));
    expect(await refusalOf(store.fetch(crlQuery))).toMatchObject({ retryAfterMs: 10_000 });
    answer = (_, response) => void response.end(crl);
    await clock.advance(10_000);
    expect(await store.fetch(crlQuery)).toBeDefined();
    answer = (_, response) => void response.writeHead(500).end();
    await refusalOf(store.fetch(crlQuery));
    expect((await refusalOf(store.fetch(crlQuery))).message).toContain('answered 500');
  });

  it('gives up when it is told to', async () => {
    answer = () => {};
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(service().fetch(crlQuery, stop)).rejects.toThrow('stopped');
    expect(asked).toEqual([]);
  });
});

describe('the cache', () => {
  let clock: FakeClock;
  let requests: string[];
  let reply: (query: EndorsementQuery) => Promise<Endorsement | undefined>;
  const store: EndorsementStore = {
    fetch: (query) => {
      requests.push(query.path);
      return reply(query);
    },
  };
  const until = (ms: number): Endorsement => ({ items: [crl], expiresAt: new Date(start.getTime() + ms) });
  const query = (path: string): EndorsementQuery => ({ vendor: 'amd', kind: 'certificates', path });

  beforeEach(() => {
    clock = new FakeClock(start);
    requests = [];
  });

  it('makes one request for equal queries at the same time', async () => {
    reply = async () => until(minuteMs);
    const cache = cached(store, { clock });
    const answers = await Promise.all([1, 2, 3].map(() => cache.fetch(query('a'))));
    expect(new Set(answers).size).toBe(1);
    expect(requests).toEqual(['a']);
  });

  it('remembers until it expires', async () => {
    reply = async () => until(10 * minuteMs);
    const cache = cached(store, { clock });
    await cache.fetch(query('a'));
    await clock.advance(10 * minuteMs - 1);
    await cache.fetch(query('a'));
    expect(requests.length).toBe(1);
    await clock.advance(1);
    await cache.fetch(query('a'));
    expect(requests.length).toBe(2);
  });

  it('remembers for a short time that something is not there', async () => {
    reply = async () => undefined;
    const cache = cached(store, { clock, negativeMs: minuteMs });
    expect(await cache.fetch(query('a'))).toBeUndefined();
    expect(await cache.fetch(query('a'))).toBeUndefined();
    expect(requests.length).toBe(1);
    await clock.advance(minuteMs);
    await cache.fetch(query('a'));
    expect(requests.length).toBe(2);
  });

  it('keeps what evidence was refused with for a short time, and then waits for another answer', async () => {
    const [wrong, right] = [until(60 * minuteMs), until(60 * minuteMs)];
    reply = async () => wrong;
    const cache = cached(store, { clock, negativeMs: minuteMs });
    await cache.fetch(query('a'));
    await cache.fetch(query('b'));
    cache.doubt(query('a'));
    cache.doubt(query('never asked for'));
    reply = async () => right;
    await clock.advance(minuteMs - 1);
    expect(await cache.fetch(query('a'))).toBe(wrong);
    await clock.advance(1);
    expect(await cache.fetch(query('a'))).toBe(right);
    expect(await cache.fetch(query('b'))).toBe(wrong);
    await clock.advance(10 * minuteMs);
    expect(await cache.fetch(query('a'))).toBe(right);
    expect(requests).toEqual(['a', 'b', 'a']);
  });

  it('goes on with what is doubted while nothing else can be had, since it may be right', async () => {
    const held = until(60 * minuteMs);
    reply = async () => held;
    const cache = cached(store, { clock, negativeMs: minuteMs });
    await cache.fetch({ ...query('a'), kind: 'crl' });
    cache.doubt(query('a'));
    await clock.advance(minuteMs);
    reply = async (failing) => Promise.reject(deferral(failing, 'down'));
    expect(await cache.fetch({ ...query('a'), kind: 'crl' })).toBe(held);
    expect(requests.length).toBe(2);
  });

  it('remembers a failure for a short time, or as long as the vendor asked for', async () => {
    reply = async (failing) => Promise.reject(deferral(failing, 'down'));
    const cache = cached(store, { clock, retryMs: 1000 });
    expect(await refusalOf(cache.fetch(query('a')))).toMatchObject({ code: 'ATTESTATION_DEFERRED' });
    reply = async (failing) => Promise.reject(deferral(failing, 'busy', { retryAfterMs: 60_000 }));
    await clock.advance(400);
    expect(await refusalOf(cache.fetch(query('a')))).toMatchObject({ retryAfterMs: 600 });
    expect(requests.length).toBe(1);
    await clock.advance(600);
    await refusalOf(cache.fetch(query('a')));
    reply = async () => until(10 * minuteMs);
    await clock.advance(59_999);
    expect(await refusalOf(cache.fetch(query('a')))).toMatchObject({ retryAfterMs: 1 });
    await clock.advance(1);
    expect(await cache.fetch(query('a'))).toBeDefined();
    expect(requests.length).toBe(3);
  });

  it('answers at once with what is a little old, and asks for something newer meanwhile', async () => {
    const observed: string[] = [];
    const observe = (_: string, outcome: string): void => void observed.push(outcome);
    reply = async () => until(90 * minuteMs);
    const cache = cached(store, { clock, updateMs: 30 * minuteMs, staleMs: 10 * minuteMs, observe });
    const first = await cache.fetch(crlQuery);
    await clock.advance(30 * minuteMs);
    const newer = until(90 * minuteMs);
    let land: (value: Endorsement) => void = () => {};
    reply = () => new Promise((resolve) => (land = resolve));
    expect(await cache.fetch(crlQuery)).toBe(first);
    expect(await cache.fetch(crlQuery)).toBe(first);
    expect(requests.length).toBe(2);
    land(newer);
    await clock.advance(0);
    expect(await cache.fetch(crlQuery)).toBe(newer);
    expect(observed).toEqual(['miss', 'stale', 'stale', 'miss', 'hit']);
  });

  it('waits for something newer when what it has is older than that', async () => {
    reply = async () => until(90 * minuteMs);
    const cache = cached(store, { clock, updateMs: 30 * minuteMs, staleMs: 10 * minuteMs });
    const first = await cache.fetch(crlQuery);
    await clock.advance(40 * minuteMs);
    reply = async () => until(120 * minuteMs);
    expect(await cache.fetch(crlQuery)).not.toBe(first);
    expect(requests.length).toBe(2);
  });

  it('never answers with what has ended, however short the time since', async () => {
    reply = async () => until(30 * minuteMs);
    const cache = cached(store, { clock, updateMs: 30 * minuteMs, staleMs: 10 * minuteMs });
    await cache.fetch(crlQuery);
    await clock.advance(30 * minuteMs);
    reply = async (failing) => Promise.reject(deferral(failing, 'down'));
    expect((await refusalOf(cache.fetch(crlQuery))).code).toBe('ATTESTATION_DEFERRED');
  });

  it('does not ask a failing service again and again for what is old', async () => {
    reply = async () => until(90 * minuteMs);
    const cache = cached(store, { clock, updateMs: minuteMs, retryMs: 10_000 });
    await cache.fetch(crlQuery);
    await clock.advance(2 * minuteMs);
    reply = async (failing) => Promise.reject(deferral(failing, 'down'));
    for (let time = 0; time < 10; time += 1) expect(await cache.fetch(crlQuery)).toBeDefined();
    expect(requests.length).toBe(2);
  });

  it('says how much it holds of a vendor, and how old that is', async () => {
    reply = async () => until(10 * minuteMs);
    const cache = cached(store, { clock });
    await cache.fetch(query('a'));
    await clock.advance(minuteMs);
    await cache.fetch(query('b'));
    expect(cache.statistics('amd')).toEqual({ entries: 2, oldestMs: minuteMs });
    expect(cache.statistics('intel')).toEqual({ entries: 0, oldestMs: 0 });
  });

  it('renews a revocation list daily, and keeps it until its end while none newer can be had', async () => {
    reply = async () => until(3 * 24 * 60 * minuteMs);
    const cache = cached(store, { clock });
    await cache.fetch(crlQuery);
    await clock.advance(24 * 60 * minuteMs);
    reply = async (failing) => Promise.reject(deferral(failing, 'down'));
    expect(await cache.fetch(crlQuery)).toBeDefined();
    expect(requests.length).toBe(2);
    await clock.advance(2 * 24 * 60 * minuteMs);
    expect((await refusalOf(cache.fetch(crlQuery))).code).toBe('ATTESTATION_DEFERRED');
  });

  it('keeps what was used last when it is full', async () => {
    reply = async () => until(minuteMs);
    const cache = cached(store, { clock, maxEntries: 2 });
    for (const path of ['a', 'b', 'a', 'c', 'a', 'b']) await cache.fetch(query(path));
    expect(requests).toEqual(['a', 'b', 'c', 'b']);
  });

  it('lets one caller give up while the others wait', async () => {
    let land: (value: Endorsement) => void = () => {};
    reply = () => new Promise((resolve) => (land = resolve));
    const cache = cached(store, { clock });
    const patience = new AbortController();
    const impatient = cache.fetch(query('a'), patience.signal);
    const patient = cache.fetch(query('a'));
    patience.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    land(until(minuteMs));
    expect(await patient).toBeDefined();
    expect(requests.length).toBe(1);
  });
});

describe('the offline directory', () => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-endorsements-'));
  const put = (path: string, content: string | Uint8Array): void => {
    const file = join(directory, 'amd', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  it("mirrors the vendors' paths, queries included", async () => {
    const path = 'vcek/v1/Milan/abcd?blSPL=1&teeSPL=0&snpSPL=2&ucodeSPL=3';
    put('vcek/v1/Milan/crl', crl);
    put(path, chipCertificate(milan).certificate);
    const store = offlineDirectory(directory);
    expect((await store.fetch(crlQuery))?.items).toEqual([crl]);
    expect(await store.fetch({ vendor: 'amd', kind: 'certificates', path })).toBeDefined();
    expect(await store.fetch(chainQuery)).toBeUndefined();
  });

  it('defers on what it cannot read', async () => {
    put('vlek/v1/Milan/crl', 'garbage');
    put('vlek/v1/Genoa/crl/oops', 'a directory in its place');
    const store = offlineDirectory(directory);
    for (const path of ['vlek/v1/Milan/crl', 'vlek/v1/Genoa/crl']) {
      expect((await refusalOf(store.fetch({ ...crlQuery, path }))).code).toBe('ATTESTATION_DEFERRED');
    }
  });

  it.each(['../secret', 'vcek/../../secret', '/etc/passwd', 'a//b', 'a\0b', 'a?../b'])(
    'does not leave itself: %j',
    async (path) => {
      const refused = await refusalOf(offlineDirectory(directory).fetch({ ...crlQuery, path }));
      expect(refused.message).toContain('not one of a vendor');
    },
  );
});

describe('what a verifier wants', () => {
  const { evidence, ...input } = snpCase({ certificates: () => [], crls: [] });
  const chip = chipCertificate(milan);

  function storeOf(
    answers: ReadonlyMap<RegExp, readonly Uint8Array[]>,
    asked: string[] = [],
  ): EndorsementStore {
    return {
      fetch: async ({ path }) => {
        asked.push(path);
        const [, items] = [...answers].find(([pattern]) => pattern.test(path)) ?? [];
        return items === undefined ? undefined : { items, expiresAt: new Date('2045-01-01T00:00:00Z') };
      },
    };
  }
  const all = new Map([
    [/Milan\/[0-9a-f]{128}\?/, [chip.certificate]],
    [/Milan\/cert_chain/, [milan.ask.certificate, milan.ark.certificate]],
    [/Milan\/crl/, [crl]],
  ]);

  it('is asked for once', async () => {
    const asked: string[] = [];
    const { endorsements, deferred } = await resolveFor(
      snpVerifier,
      evidence,
      endorsementSource([storeOf(all, asked)]),
    );
    expect(deferred).toEqual([]);
    expect(endorsements).toMatchObject({ certificates: { length: 3 }, crls: [crl] });
    expect(asked.length).toBe(3);
  });

  it('makes an appraisal possible', async () => {
    const prepared = snpCase();
    const [vcek] = prepared.endorsements.certificates;
    const own = storeOf(new Map([[/\?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219$/, [vcek ?? crl]], ...all]));
    const { endorsements } = await resolveFor(snpVerifier, prepared.evidence, endorsementSource([own]));
    expect(verdict(await snpVerifier.appraise({ ...prepared, endorsements }))).toBe('affirming');
  });

  it('comes from the first place that has it', async () => {
    const asked: string[] = [];
    const stores = [storeOf(new Map([[/crl/, [crl]]])), storeOf(all, asked)];
    await resolveFor(snpVerifier, evidence, endorsementSource(stores));
    expect(asked.some((path) => path.endsWith('crl'))).toBe(false);
  });

  it('for a report of version 2 names the product first', async () => {
    const old = snpCase({ fields: { version: 2 } });
    const asked: string[] = [];
    const { endorsements } = await resolveFor(
      snpVerifier,
      old.evidence,
      endorsementSource([storeOf(all, asked)]),
    );
    expect(
      asked.map((path) =>
        path
          .split('/')
          .slice(2)
          .join('/')
          .replace(/[0-9a-f]{128}.*/, 'chip'),
      ),
    ).toEqual(['Milan/chip', 'Genoa/chip', 'Milan/cert_chain', 'Milan/crl']);
    expect(endorsements.certificates.length).toBe(3);
  });

  it('on Turin has a short hardware id and an FMC', async () => {
    const turin = snpCase({ product: 'Turin' });
    const queries = await snpVerifier.endorsementQueries(turin.evidence, { certificates: [], crls: [] });
    expect(queries[0]?.path).toMatch(
      /^vcek\/v1\/Turin\/[0-9a-f]{16}\?fmcSPL=1&blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219$/,
    );
  });

  it('is the chain and list of the kind of its key; a VLEK cannot be had', async () => {
    const vlek = snpCase({ chip: { kind: 'VLEK' } });
    const queries = await snpVerifier.endorsementQueries(vlek.evidence, { certificates: [], crls: [] });
    expect(queries.map(({ path }) => path)).toEqual(['vlek/v1/Milan/cert_chain', 'vlek/v1/Milan/crl']);
  });

  it('replaces an outdated certificate of the host, but none that was put at hand', async () => {
    const stale = chipCertificate(milan, { tcb: { bootloader: 1, tee: 0, snp: 1, microcode: 1 } });
    const auxiliary = certificateTable([
      { guid: certificateGuids.VCEK, certificate: stale.certificate },
      { guid: certificateGuids.ASK, certificate: milan.ask.certificate },
      { guid: certificateGuids.ARK, certificate: milan.ark.certificate },
    ]);
    const paths = async (
      ...[table, given]: [Uint8Array | undefined, readonly Uint8Array[]]
    ): Promise<readonly string[]> =>
      (
        await snpVerifier.endorsementQueries(
          { ...evidence, ...(table === undefined ? {} : { auxiliary: table }) },
          { certificates: given, crls: [crl] },
        )
      ).map(({ path }) => path.split('/')[3]?.replace(/[0-9a-f]{128}.*/, 'chip') ?? '');
    expect(await paths(auxiliary, [])).toEqual(['chip']);
    expect(await paths(undefined, [stale.certificate])).toEqual(['cert_chain', 'crl']);
  });

  it('is nothing for evidence that is none', async () => {
    const none = { certificates: [], crls: [] };
    const unreadable = { namespace: 'x-snp', evidence: new Uint8Array(3) };
    expect(await snpVerifier.endorsementQueries(unreadable, none)).toEqual([]);
    const garbledTable = { ...evidence, auxiliary: Uint8Array.of(1) };
    expect(await snpVerifier.endorsementQueries(garbledTable, none)).toEqual([]);
  });

  it('is deferred, and no yes, while a vendor fails; others are still asked', async () => {
    const failing: EndorsementStore = {
      fetch: async (query) => {
        throw deferral(query, 'down', { retryAfterMs: query.kind === 'crl' ? 7000 : 1000 });
      },
    };
    const broken: EndorsementStore = { fetch: () => Promise.reject(new Error('a bug')) };
    const resolution = await resolveFor(snpVerifier, evidence, endorsementSource([failing]));
    expect(resolution).toMatchObject({ retryAfterMs: 7000, endorsements: { certificates: [], crls: [] } });
    expect(resolution.deferred.map(({ code }) => code)).toEqual(Array(3).fill('ATTESTATION_DEFERRED'));
    const appraisal = await snpVerifier.appraise({
      ...input,
      evidence,
      endorsements: resolution.endorsements,
    });
    expect(appraisal.status).toBe('none');
    const saved = await resolveFor(snpVerifier, evidence, endorsementSource([broken, failing, storeOf(all)]));
    expect(saved).toMatchObject({ deferred: [], endorsements: { certificates: { length: 3 } } });
  });
});
