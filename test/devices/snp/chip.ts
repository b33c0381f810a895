import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chipCertificate, type KeyHolder, type SnpHierarchy } from '../../support/snp-builder.js';
import { certificateGuids, certificateTable, signSnpReport, snpReport } from '../../support/snp-report.js';
import type { DeviceState } from './state.js';

/** What a device answers: the contents of `outblob` and `auxblob`. */
export interface Answer {
  readonly report: Uint8Array;
  readonly table: Uint8Array;
}

/** The secure processor of a simulated machine: a key and certificate per chip and TCB, and the reports they sign. */
export class SimulatedChip {
  readonly #vendor: SnpHierarchy;
  readonly #keys = new Map<string, KeyHolder>();

  constructor(vendor: SnpHierarchy) {
    this.#vendor = vendor;
  }

  /** Answers a request with a report that carries its 64 bytes, or with what the state's mode makes of it. */
  answer(state: DeviceState, reportData: Uint8Array): Answer {
    const { product, ask, ark } = this.#vendor;
    const { tcb } = state;
    const vcek = this.#vcek(state);
    const report = snpReport({
      product,
      version: state.version,
      policy: BigInt(state.policy),
      vmpl: state.vmpl,
      reportData,
      measurement: Buffer.from(state.measurement, 'hex'),
      hostData: Buffer.from(state.hostData, 'hex'),
      chipId: Buffer.from(state.chipId, 'hex'),
      currentTcb: tcb,
      reportedTcb: tcb,
      committedTcb: tcb,
      launchTcb: tcb,
    });
    const forger = (): KeyHolder['privateKey'] =>
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    const key = state.mode === 'forged' ? forger() : vcek.privateKey;
    const table = certificateTable([
      { guid: certificateGuids.VCEK, certificate: vcek.certificate },
      { guid: certificateGuids.ASK, certificate: ask.certificate },
      { guid: certificateGuids.ARK, certificate: ark.certificate },
    ]);
    return {
      report: state.mode === 'garbage' ? randomBytes(report.length) : signSnpReport(report, key),
      table,
    };
  }

  #vcek({ chipId, tcb }: DeviceState): KeyHolder {
    const id = JSON.stringify([chipId, tcb]);
    const hwid = Buffer.from(chipId, 'hex').subarray(0, this.#vendor.product === 'Turin' ? 8 : 64);
    const vcek = this.#keys.get(id) ?? chipCertificate(this.#vendor, { tcb, hwid });
    this.#keys.set(id, vcek);
    return vcek;
  }
}
