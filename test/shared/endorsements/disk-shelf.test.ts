import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cached } from '@muster/shared/endorsements/cache.js';
import { diskShelf } from '@muster/shared/endorsements/disk-shelf.js';
import type { Endorsement, EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { deferral } from '@muster/shared/endorsements/resolve.js';
import type { EndorsementQuery } from '@muster/shared/evidence/appraisal.js';
import { FakeClock } from '../../support/fake-clock.js';
import { revocationList, snpHierarchy } from '../../support/snp-builder.js';

const milan = snpHierarchy();
const crl = revocationList(milan);
const end = new Date('2045-01-01T00:00:00Z');
const dayMs = 86_400_000;

function queryFor(path: string): EndorsementQuery {
  return { vendor: 'amd', kind: path.endsWith('crl') ? 'crl' : 'certificates', path };
}

describe('a cache with a shelf', () => {
  let directory: string;
  let clock: FakeClock;
  let asked: string[];
  let errors: unknown[];
  let isDown: boolean;
  const vendor: EndorsementStore = {
    async fetch(query): Promise<Endorsement> {
      asked.push(query.path);
      if (isDown) throw deferral(query, 'down');
      if (query.kind === 'crl') return { items: [crl], expiresAt: end };
      const items = [milan.ask.certificate, milan.ark.certificate];
      return { items, issuers: [milan.ark.certificate], expiresAt: end };
    },
  };
  const start = (maxFiles = 100): EndorsementStore =>
    cached(vendor, {
      clock,
      shelf: diskShelf(directory, { clock, maxFiles, onError: (error) => errors.push(error) }),
    });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'muster-shelf-'));
    clock = new FakeClock(new Date('2026-01-01T00:00:00Z'));
    asked = [];
    errors = [];
    isDown = false;
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('does not ask again after a restart for what is fresh', async () => {
    const chain = queryFor('vcek/v1/Milan/cert_chain');
    const first = start();
    const found = [await first.fetch(chain), await first.fetch(queryFor('vcek/v1/Milan/crl'))];
    await clock.advance(dayMs - 1);
    const second = start();
    expect([await second.fetch(chain), await second.fetch(queryFor('vcek/v1/Milan/crl'))]).toMatchObject([
      { items: found[0]?.items, issuers: found[0]?.issuers },
      { items: found[1]?.items },
    ]);
    expect(asked.length).toBe(2);
    expect(errors).toEqual([]);
  });

  it('remembers through a restart how old a revocation list is', async () => {
    await start().fetch(queryFor('vcek/v1/Milan/crl'));
    await clock.advance(2 * dayMs);
    await start().fetch(queryFor('vcek/v1/Milan/crl'));
    expect(asked.length).toBe(2);
    await clock.advance(2 * dayMs);
    isDown = true;
    expect(await start().fetch(queryFor('vcek/v1/Milan/crl'))).toMatchObject({ items: [crl] });
  });

  it('asks when a file is damaged, and replaces it', async () => {
    mkdirSync(join(directory, 'amd/vcek/v1/Milan'), { recursive: true });
    writeFileSync(join(directory, 'amd/vcek/v1/Milan/crl'), 'garbage');
    expect(await start().fetch(queryFor('vcek/v1/Milan/crl'))).toMatchObject({ items: [crl] });
    expect(errors.length).toBe(1);
    await start().fetch(queryFor('vcek/v1/Milan/crl'));
    expect(asked.length).toBe(1);
  });

  it('goes on without a directory that cannot be written', async () => {
    rmSync(directory, { recursive: true });
    writeFileSync(directory, 'a file in its place');
    expect(await start().fetch(queryFor('vcek/v1/Milan/crl'))).toMatchObject({ items: [crl] });
    expect(errors.length).toBe(1);
  });

  it('keeps a bounded number of answers, the newest, and leaves no parts of files', async () => {
    const cache = start(10);
    mkdirSync(join(directory, 'amd/vcek/v1/Milan'), { recursive: true });
    writeFileSync(join(directory, 'amd/vcek/v1/Milan/left.part'), '');
    for (let index = 0; index < 25; index += 1) {
      await cache.fetch(queryFor(`vcek/v1/Milan/chip${index}`));
      await clock.advance(1000);
    }
    const names = readdirSync(join(directory, 'amd/vcek/v1/Milan'));
    const answers = names.filter((name) => !name.endsWith('.issuer-chain'));
    expect(answers.length).toBeLessThanOrEqual(10);
    expect(answers).toContain('chip24');
    expect(names.length).toBe(2 * answers.length);
  });
});
