import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { muster, type CliResult } from '../../support/cli.js';
import { FakeClock } from '../../support/fake-clock.js';
import { intelHierarchy, pemOf } from '../../support/tdx-builder.js';
import { at, tdxCase, type TdxCaseOptions } from '../../support/tdx-case.js';
import { defaultReportData } from '../../support/tdx-quote.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-tdx-'));
afterAll(() => rmSync(folder, { recursive: true }));

const hierarchy = intelHierarchy();
const clock = new FakeClock(at);
const [rootCrl = new Uint8Array(), pckCrl = new Uint8Array()] = tdxCase({ hierarchy }).endorsements.crls;
const signerChain = pemOf(hierarchy.tcbSigning.certificate, hierarchy.root.certificate);

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The two signed documents of a case, as Intel's service serves them. */
function documents(options: TdxCaseOptions = {}): readonly string[] {
  const { endorsements } = tdxCase({ hierarchy, ...options });
  return (endorsements.documents ?? []).map(({ content }) => Buffer.from(content).toString());
}

function collateral(options: TdxCaseOptions = {}): Record<string, string> {
  const [tcbInfo, qeIdentity] = documents(options).map(
    (text) => /^\{"\w+":(\{.*\}),"signature":"(\w+)"\}$/s.exec(text) ?? [],
  );
  return {
    pck_crl_issuer_chain: pemOf(hierarchy.pckCa.certificate, hierarchy.root.certificate),
    root_ca_crl: Buffer.from(rootCrl).toString('hex'),
    pck_crl: Buffer.from(pckCrl).toString('hex'),
    tcb_info_issuer_chain: signerChain,
    tcb_info: tcbInfo?.[1] ?? '',
    tcb_info_signature: tcbInfo?.[2] ?? '',
    qe_identity_issuer_chain: signerChain,
    qe_identity: qeIdentity?.[1] ?? '',
    qe_identity_signature: qeIdentity?.[2] ?? '',
  };
}

const quote = file('quote.bin', tdxCase({ hierarchy }).evidence.evidence);

function verify(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  const base = ['evidence', 'verify', '--namespace=x-tdx', `--evidence=${quote}`, '--output=json'];
  return muster([...base, `--simulated-root=${hierarchy.rootFingerprint}`, ...args], { clock, env });
}

describe('muster evidence verify --namespace x-tdx', () => {
  it('affirms with collateral from a file', async () => {
    const path = file('collateral.json', JSON.stringify(collateral()));
    const nonce = Buffer.from(defaultReportData).toString('hex');
    const { code, out } = await verify(['--offline', `--collateral=${path}`, `--nonce=${nonce}`]);
    expect(JSON.parse(out)).toMatchObject({ status: 'affirming', unchecked: [], simulated: true });
    expect(code).toBe(0);
  });

  it('warns of a platform that is out of date', async () => {
    const outdated: TdxCaseOptions = { tcbInfo: ({ tcbLevels }) => void tcbLevels.shift() };
    const path = file('outdated.json', JSON.stringify(collateral(outdated)));
    const { code, out } = await verify(['--offline', `--collateral=${path}`]);
    expect(JSON.parse(out)).toMatchObject({ status: 'warning', claims: { tcb_status: 'OutOfDate' } });
    expect(code).toBe(3);
  });

  it('is incomplete where the chain of the signer lacks', async () => {
    const fields = { ...collateral(), qe_identity_issuer_chain: '' };
    delete (fields as Record<string, string>)['tcb_info_issuer_chain'];
    const path = file('chainless.json', JSON.stringify(fields));
    const { code, out } = await verify(['--offline', `--collateral=${path}`]);
    expect(JSON.parse(out)).toMatchObject({
      status: 'none',
      reasons: [{ code: 'TDX_COLLATERAL_SIGNER_MISSING' }, { code: 'TDX_COLLATERAL_SIGNER_MISSING' }],
    });
    expect(code).toBe(1);
  });

  it.each(['{}', 'no JSON', '[]', '{"tcb_info": 1}'])('takes no file with %s', async (content) => {
    const { code, out, err } = await verify(['--offline', `--collateral=${file('bad.json', content)}`]);
    expect(code).toBe(2);
    expect(out + err).toContain('ARGUMENT_INVALID');
  });
});

describe('collateral that is not at hand', () => {
  let service: Server;
  let env: Record<string, string>;

  beforeAll(async () => {
    const [tcbInfo = '', qeIdentity = ''] = documents();
    const answers = new Map<string, string | Uint8Array>([
      ['/tdx/certification/v4/tcb?fmspc=b0c06f000000', tcbInfo],
      ['/tdx/certification/v4/qe/identity', qeIdentity],
      ['/sgx/certification/v4/pckcrl?ca=platform&encoding=der', pckCrl],
      ['/sgx/certification/v4/rootcacrl', rootCrl],
    ]);
    service = createServer(({ url = '' }, response) => {
      response.setHeader('TCB-Info-Issuer-Chain', encodeURIComponent(signerChain));
      response.end(answers.get(url));
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    const { port } = service.address() as AddressInfo;
    env = { MUSTER_INTEL_COLLATERAL_SERVICE: `http://127.0.0.1:${port}/` };
  });
  afterAll(() => new Promise((resolve) => service.close(resolve)));

  it("comes from Intel's service", async () => {
    expect((await verify([], env)).json()).toMatchObject({ status: 'affirming', unchecked: ['report_data'] });
  });

  it('does not come from there for another day', async () => {
    expect((await verify(['--at=2025-12-15T00:00:00Z'], env)).json()).toMatchObject({
      status: 'none',
      reasons: [{ code: 'TDX_COLLATERAL_MISSING' }, { code: 'TDX_COLLATERAL_MISSING' }],
      unchecked: ['crl', 'report_data'],
    });
  });
});
