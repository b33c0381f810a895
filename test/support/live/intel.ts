import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { serveReportDirectory, type ReportDirectory } from '../../devices/snp/report-directory.js';
import { writeState } from '../../devices/snp/state.js';
import { intelCrl, intelHierarchy, pckCertificate, pemOf, type IntelHierarchy } from '../tdx-builder.js';
import { qeIdentityJson, signDocument, tcbInfoJson } from '../tdx-case.js';
import { tdxQuote } from '../tdx-quote.js';

const dayMs = 86_400_000;

/** A simulated vendor in the place of Intel, with collateral of today. */
export class SimulatedIntel {
  readonly #hierarchy: IntelHierarchy = intelHierarchy();

  /** Writes the root's certificate, which configurations name, and returns its path. */
  writeRoot(folder: string): string {
    const file = join(folder, 'intel-root.pem');
    writeFileSync(file, pemOf(this.#hierarchy.root.certificate));
    return file;
  }

  /** Writes all that a quote needs beside its own chain into a directory that mirrors Intel's service. */
  writeCollateral(directory: string): void {
    const { root, pckCa, tcbSigning } = this.#hierarchy;
    const key = tcbSigning.privateKey;
    const today = {
      issueDate: timeText(Date.now() - dayMs),
      nextUpdate: timeText(Date.now() + 30 * dayMs),
    };
    const chain = pemOf(tcbSigning.certificate, root.certificate);
    const files: Readonly<Record<string, string | Uint8Array>> = {
      'tdx/certification/v4/tcb?fmspc=b0c06f000000': signDocument(
        'tcbInfo',
        { ...tcbInfoJson(), ...today },
        key,
      ),
      'tdx/certification/v4/tcb?fmspc=b0c06f000000.issuer-chain': chain,
      'tdx/certification/v4/qe/identity': signDocument(
        'enclaveIdentity',
        { ...qeIdentityJson(), ...today },
        key,
      ),
      'tdx/certification/v4/qe/identity.issuer-chain': chain,
      'sgx/certification/v4/pckcrl?ca=platform&encoding=der': intelCrl(pckCa),
      'sgx/certification/v4/rootcacrl': intelCrl(root),
    };
    for (const [path, content] of Object.entries(files)) {
      const file = join(directory, 'intel', path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  }

  /** Serves the quotes of a trust domain in a directory, as configfs-tsm does. */
  serveDevice(folder: string): ReportDirectory & { readonly path: string } {
    const { root, pckCa } = this.#hierarchy;
    const pck = pckCertificate(this.#hierarchy);
    const pckChain = pemOf(...[pck, pckCa, root].map(({ certificate }) => certificate));
    const [path, stateFile] = [join(folder, 'tdx'), join(folder, 'tdx.json')];
    writeState(stateFile, { chipId: '00'.repeat(64) });
    const answer = (_state: unknown, reportData: Uint8Array): { report: Uint8Array; table: Uint8Array } => ({
      report: tdxQuote({ pckKey: pck.privateKey, pckChain, report: { reportData } }),
      table: new Uint8Array(),
    });
    return { path, ...serveReportDirectory({ path, stateFile, provider: 'tdx_guest', chip: { answer } }) };
  }
}

/** A time as Intel's documents have it, to the second. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
