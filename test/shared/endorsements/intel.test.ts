import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cached } from '@muster/shared/endorsements/cache.js';
import type { EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { intelCollateralService } from '@muster/shared/endorsements/intel-collateral-service.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource, resolveFor } from '@muster/shared/endorsements/resolve.js';
import { vendorServices } from '@muster/shared/endorsements/vendor-services.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { FakeClock } from '../../support/fake-clock.js';
import { intelCrl, intelHierarchy, pckCertificate, pemOf } from '../../support/tdx-builder.js';
import { at, qeIdentityJson, signDocument, tcbInfoJson, tdxCase, verdict } from '../../support/tdx-case.js';

const hierarchy = intelHierarchy();
const input = tdxCase({ hierarchy });
const none = { certificates: [], crls: [] };
const { root, pckCa, tcbSigning } = hierarchy;
const signerChain = pemOf(tcbSigning.certificate, root.certificate);
const key = tcbSigning.privateKey;

interface Answer {
  readonly header?: string;
  readonly chain?: string;
  readonly body: string | Uint8Array;
}

const paths = {
  tcb: 'tdx/certification/v4/tcb?fmspc=b0c06f000000',
  qe: 'tdx/certification/v4/qe/identity',
  pckCrl: 'sgx/certification/v4/pckcrl?ca=platform&encoding=der',
  rootCrl: 'sgx/certification/v4/rootcacrl',
};

/** What a caching service answers; Intel itself keeps the root's list elsewhere. */
const answers: Readonly<Record<string, Answer>> = {
  [paths.tcb]: {
    header: 'TCB-Info-Issuer-Chain',
    chain: signerChain,
    body: signDocument('tcbInfo', tcbInfoJson(), key),
  },
  [paths.qe]: {
    header: 'SGX-Enclave-Identity-Issuer-Chain',
    chain: signerChain,
    body: signDocument('enclaveIdentity', qeIdentityJson(), key),
  },
  [paths.pckCrl]: {
    header: 'SGX-PCK-CRL-Issuer-Chain',
    chain: pemOf(pckCa.certificate, root.certificate),
    body: intelCrl(pckCa),
  },
  [paths.rootCrl]: { body: Buffer.from(intelCrl(root)).toString('hex') },
};

describe("Intel's service", () => {
  const asked: string[] = [];
  let server: Server;
  let baseUrl: string;
  let clock: FakeClock;
  let served: Record<string, Answer>;

  beforeAll(async () => {
    server = createServer(({ url = '' }, response) => {
      asked.push(url.slice(1));
      const answer = served[url.slice(1)];
      response.setHeader('connection', 'close');
      if (answer === undefined) return void response.writeHead(404).end();
      const { header, chain = '', body } = answer;
      if (header !== undefined)
        response.setHeader(header, chain.startsWith('%') ? chain : encodeURIComponent(chain));
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  beforeEach(() => {
    clock = new FakeClock(at);
    asked.length = 0;
    served = { ...answers };
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  async function judge(store: EndorsementStore): Promise<string> {
    const { endorsements, deferred } = await resolveFor(
      tdxVerifier,
      input.evidence,
      endorsementSource([store]),
    );
    const appraisal = tdxVerifier.appraise({ ...input, endorsements });
    return [verdict(appraisal), ...deferred.map(({ code }) => code)].join(' ');
  }

  it('has everything that a quote needs beside its own chain', async () => {
    expect(await judge(vendorServices(clock, { intel: baseUrl }))).toBe('affirming');
    expect(asked.toSorted()).toEqual(Object.values(paths).toSorted());
  });

  it('is asked once a day, and what it said serves until its end while it fails', async () => {
    const store = cached(intelCollateralService({ clock, baseUrl }), { clock });
    expect(await judge(store)).toBe('affirming');
    expect(await judge(store)).toBe('affirming');
    expect(asked).toHaveLength(4);
    await clock.advance(30 * 3_600_000);
    served = { [paths.tcb]: { body: 'maintenance' } };
    expect(await judge(store)).toContain('TDX_COLLATERAL_MISSING');
    expect(asked).toHaveLength(8);
  });

  it('serves an older document while it answers with something else', async () => {
    const store = cached(intelCollateralService({ clock, baseUrl }), { clock });
    expect(await judge(store)).toBe('affirming');
    await clock.advance(86_400_000);
    for (const path of Object.values(paths)) served[path] = { body: '<html>maintenance</html>' };
    expect(await judge(store)).toBe('affirming');
    await clock.advance(32 * 86_400_000);
    expect(await judge(store)).toMatch(/^none .*ATTESTATION_DEFERRED/);
  });

  it.each([
    ['no chain of its signer', undefined],
    ['a chain in a broken encoding', '%E0%A4%A'],
    ['a chain that is none', 'chain'],
    ['a chain of broken PEM', '-----BEGIN CERTIFICATE-----'],
  ])('does not make a yes with %s', async (_, chain) => {
    for (const path of [paths.tcb, paths.qe]) {
      const { body } = answers[path] ?? { body: '' };
      served[path] = chain === undefined ? { body } : { header: 'TCB-Info-Issuer-Chain', chain, body };
    }
    expect(await judge(intelCollateralService({ clock, baseUrl }))).toBe(
      'none TDX_COLLATERAL_SIGNER_MISSING TDX_COLLATERAL_SIGNER_MISSING',
    );
  });

  it('is asked under the addresses of Intel itself by default', async () => {
    const urls: string[] = [];
    const fetch: typeof globalThis.fetch = (url) => {
      urls.push(url instanceof URL ? url.href : '');
      return Promise.resolve(new Response(null, { status: 404 }));
    };
    const store = intelCollateralService({ clock, fetch });
    for (const query of await tdxVerifier.endorsementQueries(input.evidence, none)) await store.fetch(query);
    expect(urls).toEqual([
      `https://api.trustedservices.intel.com/${paths.tcb}`,
      `https://api.trustedservices.intel.com/${paths.qe}`,
      `https://api.trustedservices.intel.com/${paths.pckCrl}`,
      'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
    ]);
  });

  it('is asked for nothing that is at hand, and for nothing by evidence that is none', async () => {
    expect(await tdxVerifier.endorsementQueries(input.evidence, input.endorsements)).toEqual([]);
    const evidence = { ...input.evidence, evidence: new Uint8Array(100) };
    expect(await tdxVerifier.endorsementQueries(evidence, none)).toEqual([]);
  });

  it('is asked for the list of the CA that issued the PCK', async () => {
    const processor = intelHierarchy({ pckCa: { name: 'Intel SGX PCK Processor CA' } });
    const { evidence } = tdxCase({ hierarchy: processor });
    const [, , pckCrl] = await tdxVerifier.endorsementQueries(evidence, none);
    expect(pckCrl?.path).toBe('sgx/certification/v4/pckcrl?ca=processor&encoding=der');
  });

  it('is asked for nothing by a PCK that does not name its platform', async () => {
    const pck = pckCertificate(hierarchy, { without: ['.4'] });
    const chain = pemOf(pck.certificate, pckCa.certificate, root.certificate);
    const { evidence } = tdxCase({ hierarchy, quote: { pckKey: pck.privateKey, pckChain: chain } });
    expect(await tdxVerifier.endorsementQueries(evidence, none)).toEqual([]);
  });
});

describe('the offline directory', () => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-intel-'));
  const put = (path: string, content: string | Uint8Array): void => {
    const file = join(directory, 'intel', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  it("mirrors Intel's paths, with the chains of signers in files beside", async () => {
    const source = endorsementSource([offlineDirectory(directory)]);
    const judge = async (): Promise<string> => {
      const { endorsements, deferred } = await resolveFor(tdxVerifier, input.evidence, source);
      const { status } = tdxVerifier.appraise({ ...input, endorsements });
      return [status, ...deferred.map(({ code }) => code)].join(' ');
    };
    expect(await judge()).toBe('none');
    for (const [path, { chain, body }] of Object.entries(answers)) {
      if (path === paths.rootCrl) put(path, intelCrl(root));
      else put(path, body);
      if (chain !== undefined) put(`${path}.issuer-chain`, chain);
    }
    expect(await judge()).toBe('affirming');
    put(`${paths.tcb}.issuer-chain`, '-----BEGIN CERTIFICATE-----');
    expect(await judge()).toBe('none ATTESTATION_DEFERRED');
  });
});
