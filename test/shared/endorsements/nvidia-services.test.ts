import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { OCSPRequest } from '@peculiar/asn1-ocsp';
import { AsnConvert } from '@peculiar/asn1-schema';
import { systemClock } from '@muster/shared/clock.js';
import { nvidiaServices } from '@muster/shared/endorsements/nvidia-services.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource, resolveFor } from '@muster/shared/endorsements/resolve.js';
import type { EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import type { Appraisal, EndorsementQuery, Evidence } from '@muster/shared/evidence/appraisal.js';
import { writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { appraise, deviceOf, driverRim, firmwareRim } from '../../support/nvidia-case.js';
import { simulatedGpu } from '../../support/nvidia-device.js';
import { ocspResponse, type Holder } from '../../support/nvidia-pki.js';

const gpu = simulatedGpu();
const evidence: Evidence = { namespace: 'x-nv-gpu', evidence: writeDocument({ devices: [deviceOf(gpu)] }) };
const manifests: Readonly<Record<string, string>> = {
  'NV_GPU_DRIVER_GH100_560.10.05': driverRim.xml,
  NV_GPU_VBIOS_G520_0200_885_97000A0002: firmwareRim.xml,
};
const issued: ReadonlyMap<string, readonly [Holder, Holder]> = new Map(
  [gpu.chain, driverRim.chain].flatMap((chain) =>
    chain
      .slice(0, -1)
      .map((subject, index) => [hexOf(subject.serial), [subject, chain[index + 1] ?? subject]] as const),
  ),
);

function hexOf(serial: string): string {
  return serial.replace(/^0+/, '');
}

/** A stand-in for both of NVIDIA's services. */
let service: Server;
let url = '';
const requests: string[] = [];
beforeAll(async () => {
  service = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const id = /^\/v1\/rim\/(.+)$/.exec(request.url ?? '')?.[1];
    if (id !== undefined) {
      const xml = manifests[id];
      response.writeHead(xml === undefined ? 404 : 200);
      response.end(
        xml && JSON.stringify({ id, rim: Buffer.from(xml).toString('base64'), rim_format: 'TCG' }),
      );
      return;
    }
    void answerStatus(request, response);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
});
afterAll(() => void service.close());

/** Answers an OCSP request for a certificate that is known here, and any other with nothing. */
async function answerStatus(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { tbsRequest } = AsnConvert.parse(await bodyOf(request), OCSPRequest);
  const serial = Buffer.from(tbsRequest.requestList[0]?.reqCert.serialNumber ?? new ArrayBuffer());
  const [subject, issuer] = issued.get(hexOf(serial.toString('hex'))) ?? [];
  response.writeHead(200, { 'content-type': 'application/ocsp-response' });
  response.end(subject && issuer && ocspResponse(subject, issuer));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function appraiseFrom(store: EndorsementStore): Promise<{ appraisal: Appraisal; deferred: number }> {
  const { endorsements, deferred } = await resolveFor(nvVerifier, evidence, endorsementSource([store]));
  const appraisal = await appraise({
    evidence: evidence.evidence,
    certificates: endorsements.certificates,
    documents: endorsements.documents ?? [],
  });
  return { appraisal, deferred: deferred.length };
}

it('what a GPU needs is fetched: manifests by their names, status by POST', async () => {
  const { appraisal, deferred } = await appraiseFrom(nvidiaServices({ clock: systemClock, baseUrl: url }));
  expect(appraisal).toMatchObject({ status: 'affirming', reasons: [], unchecked: [] });
  expect(deferred).toBe(0);
  expect(requests.filter((request) => request.startsWith('GET')).toSorted()).toEqual(
    Object.keys(manifests)
      .map((id) => `GET /v1/rim/${id}`)
      .toSorted(),
  );
  expect(requests.filter((request) => request === 'POST /ocsp')).toHaveLength(5);
});

it('a service that cannot be reached defers, and is no yes', async () => {
  const refuse = (): Promise<Response> => Promise.reject(new Error('no route'));
  const { appraisal, deferred } = await appraiseFrom(nvidiaServices({ clock: systemClock, fetch: refuse }));
  expect(appraisal.status).toBe('none');
  expect(deferred).toBeGreaterThan(0);
});

it('the page of a proxy is no answer', async () => {
  const page = (): Promise<Response> => Promise.resolve(new Response('<html>log in</html>'));
  const store = nvidiaServices({ clock: systemClock, fetch: page });
  for (const [kind, path] of [
    ['nvidia-rim', 'v1/rim/X'],
    ['ocsp', 'ocsp/aa/bb/cc'],
  ] as const) {
    const query: EndorsementQuery = { vendor: 'nvidia', kind, path };
    await expect(store.fetch(query)).rejects.toMatchObject({ code: 'ATTESTATION_DEFERRED' });
  }
});

it('a directory that mirrors the services suffices', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-nvidia-'));
  const write = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  };
  for (const [id, xml] of Object.entries(manifests)) write(`nvidia/v1/rim/${id}`, xml);
  let documents: readonly { kind: 'nvidia-rim'; content: Uint8Array }[] = [];
  for (const round of [0, 1]) {
    const queries = await nvVerifier.endorsementQueries(evidence, { certificates: [], crls: [], documents });
    for (const { path } of queries.filter(({ kind }) => kind === 'ocsp')) {
      const [subject, issuer] = issued.get(hexOf(path.split('/')[3] ?? '')) ?? [];
      if (subject && issuer) write(`nvidia/${path}`, ocspResponse(subject, issuer));
    }
    if (round === 0) {
      documents = Object.values(manifests).map((xml) => ({ kind: 'nvidia-rim', content: Buffer.from(xml) }));
    }
  }
  const { appraisal } = await appraiseFrom(offlineDirectory(directory));
  rmSync(directory, { recursive: true });
  expect(appraisal).toMatchObject({ status: 'affirming', reasons: [], unchecked: [] });
});
