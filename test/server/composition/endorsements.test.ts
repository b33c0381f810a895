import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { composeEndorsements } from '@muster/server/composition/endorsements.js';
import { openFoundation } from '@muster/server/composition/foundation.js';
import { loadConfig } from '@muster/server/config/config.js';
import { readDirectory, writeDirectory } from '@muster/shared/endorsements/bundle/directory.js';
import type { EndorsementQuery } from '@muster/shared/evidence/appraisal.js';
import { stringify } from 'yaml';
import { FakeClock } from '../../support/fake-clock.js';
import { silentLogger } from '../../support/logger.js';
import { revocationList, snpHierarchy } from '../../support/snp-builder.js';

const crl = revocationList(snpHierarchy());
const query: EndorsementQuery = { vendor: 'amd', kind: 'crl', path: 'vcek/v1/Milan/crl' };

describe("a server's endorsements", () => {
  let directory: string;
  let service: Server;
  let asked: number;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'muster-server-endorsements-'));
    asked = 0;
    service = createServer((_, response) => {
      asked += 1;
      response.setHeader('connection', 'close').end(crl);
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    const exempt = { name: 'central', exempt: true, because: 'a test' };
    const policy = { servers: [exempt], sites: [{ name: '*', require: ['x-snp'] }] };
    writeFileSync(join(directory, 'policy.yaml'), stringify(policy));
  });
  afterEach(async () => {
    await new Promise((resolve) => service.close(resolve));
    rmSync(directory, { recursive: true });
  });

  /** Runs a server for as long as it takes to ask one question; returns what it counted. */
  async function ask(
    endorsements: object = {},
  ): Promise<{ lists: readonly Uint8Array[]; counted: string[] }> {
    const file = join(directory, 'server.yaml');
    const amd_url = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
    const config = {
      name: 'central',
      trust_domain: 'federation.example',
      data_directory: 'data',
      listen: { session: '127.0.0.1:0', enrollment: '127.0.0.1:0' },
      policy: 'policy.yaml',
      endorsements: { amd_url, ...endorsements },
    };
    writeFileSync(file, stringify(config));
    const environment = { clock: new FakeClock(), logger: silentLogger };
    const foundation = await openFoundation(loadConfig(file), environment);
    try {
      const { source } = composeEndorsements(foundation);
      const { endorsements: found } = await source.resolve([query], {});
      const counted = foundation.observations.endorsementQueries.all();
      return {
        lists: found.crls,
        counted: counted.map(({ labels }) => `${labels.vendor} ${labels.outcome}`),
      };
    } finally {
      await foundation.store.close();
    }
  }

  it('outlast a restart, so that the vendor is asked once, and can be exported', async () => {
    expect(await ask()).toEqual({ lists: [crl], counted: ['amd miss'] });
    const [list, ...rest] = (await ask()).lists;
    expect([list && Uint8Array.from(list), ...rest]).toEqual([crl]);
    expect((await ask()).counted).toEqual(['amd hit']);
    expect(asked).toBe(1);
    const [answer] = await readDirectory(join(directory, 'data/endorsements'));
    expect(answer?.query).toEqual(query);
  });

  it('come from the offline directory first', async () => {
    const found = { items: [crl], expiresAt: new Date('2045-01-01T00:00:00Z') };
    await writeDirectory(join(directory, 'offline'), [{ query, found }], new Date());
    expect((await ask({ offline_directory: 'offline' })).lists.length).toBe(1);
    expect(asked).toBe(0);
  });

  it('are not asked for, nor kept, where the server may not', async () => {
    expect(await ask({ online: false })).toEqual({ lists: [], counted: [] });
    expect(asked).toBe(0);
    expect(existsSync(join(directory, 'data/endorsements'))).toBe(false);
  });
});
