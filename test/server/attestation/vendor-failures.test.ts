import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { amdKeyService } from '@muster/shared/endorsements/amd-key-service.js';
import { cached } from '@muster/shared/endorsements/cache.js';
import { writeCertificates } from '@muster/shared/endorsements/endorsement.js';
import { endorsementSource, type EndorsementSource } from '@muster/shared/endorsements/resolve.js';
import { VerdictOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { FakeClock } from '../../support/fake-clock.js';
import { testPolicy } from '../../support/policies.js';
import { createFederation, type Federation } from '../../support/federation.js';
import { answerChallenge, RecordingOutbox } from '../../support/site-agent.js';
import { snpHierarchy } from '../../support/snp-builder.js';
import type { Presenter } from '../../support/tokens.js';
import { until } from '../../support/until.js';

const milan = snpHierarchy();
const certificates = Buffer.from(writeCertificates([milan.ask.certificate, milan.ark.certificate]));
const waiting = Array.from({ length: 12 }, (_, index) => `slow-${index + 1}`);

/** The ways in which a vendor's service is of no use. */
const failures: readonly (readonly [string, RequestListener])[] = [
  ['hangs', () => {}],
  ['fails', (_, response) => void response.writeHead(500).end()],
  ['answers garbage', (_, response) => void response.end('<html>sign in</html>')],
  ['breaks off', (request) => void request.socket.destroy()],
  ['answers too much', (_, response) => void response.end(Buffer.alloc(2 * 1024 * 1024, 'x'))],
  ['asks to wait', (_, response) => void response.writeHead(429, { 'retry-after': '60' }).end()],
  [
    'answers byte by byte',
    (_, response) => {
      let sent = 0;
      const timer = setInterval(() => response.write(certificates.subarray(sent, (sent += 1))), 20);
      response.on('close', () => clearInterval(timer));
    },
  ],
];

it("a vendor's readable answers are doubted when evidence is refused with them, and only then", async () => {
  const outbox = new RecordingOutbox();
  const doubted: string[] = [];
  const federation = await createFederation({
    outbox,
    endorsements: {
      resolve: async () => ({ endorsements: { certificates: [certificates], crls: [] }, deferred: [] }),
      doubt: (queries) => doubted.push(...queries.map(({ path }) => path)),
    },
  });
  await federation.verification.start();
  for (const [name, tier] of [
    ['good', 'affirming'],
    ['bad', 'contraindicated'],
  ] as const) {
    const site = await federation.enroll(name);
    outbox.connected.add(name);
    federation.registry.setLiveness(name, { connected: true });
    federation.verification.sessionOpened(name);
    await until(() => outbox.challenges(name) === 1);
    await answerChallenge(federation, outbox, site, { needs: `vcek/v1/Milan/${name}`, tier });
  }
  expect(doubted).toEqual(['vcek/v1/Milan/bad']);
  federation.verification.stop();
});

it('a vendor that hangs keeps no site waiting that has another kind of proof', async () => {
  const outbox = new RecordingOutbox();
  let hangs = false;
  const federation = await createFederation({
    outbox,
    policy: testPolicy({
      sites: [
        { name: 'slow-*', require: ['x-a'] },
        { name: 'other', require: ['x-a', 'x-b'] },
      ],
    }),
    endorsements: {
      doubt: () => undefined,
      resolve: async (_, { signal }) => {
        if (hangs) await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        return { endorsements: { certificates: [certificates], crls: [] }, deferred: [] };
      },
    },
  });
  await federation.verification.start();
  const names = [...Array.from({ length: 40 }, (_, index) => `slow-${index}`), 'other'];
  for (const name of names) {
    const site = await federation.enroll(name);
    outbox.connected.add(name);
    federation.registry.setLiveness(name, { connected: true });
    federation.verification.sessionOpened(name);
    await until(() => outbox.challenges(name) === 1);
    await answerChallenge(federation, outbox, site, { needs: 'vcek/v1/Milan/chain' });
  }
  hangs = true;
  const [challenged, forgotten] = [outbox.challenges('other'), outbox.challenges('slow-39')];
  void federation.verification.verify(names, 1000);
  await until(() => outbox.challenges('other') > challenged);
  expect(outbox.challenges('slow-39')).toBe(forgotten);
  await federation.clock.advance(1000);
  federation.verification.stop();
});

describe.each(failures)("a vendor's service that %s", (_, failure) => {
  let server: Server;
  let answer: RequestListener;
  let clock: FakeClock;
  let outbox: RecordingOutbox;
  let federation: Federation;
  let sites: ReadonlyMap<string, Presenter>;

  beforeAll(async () => {
    server = createServer((request, response) => {
      response.setHeader('connection', 'close');
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  beforeEach(async () => {
    answer = failure;
    outbox = new RecordingOutbox();
    // The clock is the federation's: the vendor's answers come in real time, the deadlines in the test's.
    let source: EndorsementSource = endorsementSource([]);
    federation = await createFederation({
      outbox,
      endorsements: {
        resolve: (...question) => source.resolve(...question),
        doubt: (queries) => source.doubt(queries),
      },
    });
    ({ clock } = federation);
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    source = endorsementSource([cached(amdKeyService({ clock, baseUrl, burst: 64 }), { clock })]);
    await federation.verification.start();
    const enrolled = [...waiting, 'quick'].map(
      async (name) => [name, await federation.enroll(name)] as const,
    );
    sites = new Map(await Promise.all(enrolled));
    for (const name of sites.keys()) {
      outbox.connected.add(name);
      federation.registry.setLiveness(name, { connected: true });
      federation.verification.sessionOpened(name);
    }
    await until(() => [...sites.keys()].every((name) => outbox.challenges(name) === 1));
  });

  const prove = (name: string, says: object): ReturnType<typeof answerChallenge> => {
    const site = sites.get(name);
    if (site === undefined) throw new Error(`${name} is no site`);
    return answerChallenge(federation, outbox, site, says);
  };
  /** Lets time pass on the federation's clock, and a little in the world, until something is so. */
  const pass = async (stepMs: number, isSo: () => boolean): Promise<void> => {
    for (let step = 0; !isSo() && step < 200; step += 1) {
      await clock.advance(stepMs);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const outcome = (name: string): VerdictOutcome => outbox.verdict(name).outcome;
  const needs = (name: string): { needs: string } => ({ needs: `vcek/v1/Milan/${name}` });

  it('delays no other site, defers, and then the verdict is what the evidence says', async () => {
    const verdicts = waiting.map((name, index) =>
      prove(name, { ...needs(name), tier: index === 0 ? 'contraindicated' : 'affirming' }),
    );
    expect((await prove('quick', {})).outcome).toBe(VerdictOutcome.ACCEPTED);

    let judged = false;
    const all = Promise.all(verdicts).then((list) => {
      judged = true;
      return list;
    });
    await pass(1000, () => judged);
    for (const verdict of await all) {
      expect(verdict.outcome).toBe(VerdictOutcome.DEFERRED);
      expect(verdict.reasons.map(({ code }) => code)).toContain('ATTESTATION_DEFERRED');
    }
    expect(waiting.some((name) => federation.registry.standing(name).admissible)).toBe(false);
    expect(federation.failures).toEqual([]);
    expect(federation.registry.standing('quick').admissible).toBe(true);

    answer = (_request, response) => void response.end(certificates);
    const settled = (): boolean => waiting.every((name) => outcome(name) !== VerdictOutcome.DEFERRED);
    await pass(2000, settled);
    const [refused = '', ...accepted] = waiting;
    expect(outcome(refused)).toBe(VerdictOutcome.REJECTED);
    expect(accepted.map(outcome)).toEqual(accepted.map(() => VerdictOutcome.ACCEPTED));
  });

  it('is not asked any more when the tokens have expired, and nobody is accepted', async () => {
    const [name = ''] = waiting;
    const verdict = prove(name, needs(name));
    let judged = false;
    void verdict.then(() => (judged = true));
    await pass(1000, () => judged);
    outbox.connected.delete(name);
    federation.registry.setLiveness(name, { connected: false });
    const expiry = clock.monotonic() + 660_000;
    await pass(30_000, () => clock.monotonic() >= expiry);
    answer = (_request, response) => void response.end(certificates);
    await clock.advance(600_000);
    expect(federation.registry.standing(name).admissible).toBe(false);
    expect(federation.registry.find(name)?.tokens).toEqual([]);
  });
});
