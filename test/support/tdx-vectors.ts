import { Buffer } from 'node:buffer';
import type { Endorsements } from '@muster/shared/evidence/appraisal.js';
import { joinDocument } from '@muster/shared/evidence/x-tdx/collateral.js';
import { vector } from './vector-files.js';

interface CollateralFile {
  readonly pck_crl_issuer_chain: string;
  readonly root_ca_crl: string;
  readonly pck_crl: string;
  readonly tcb_info_issuer_chain: string;
  readonly tcb_info: string;
  readonly tcb_info_signature: string;
  readonly qe_identity_issuer_chain: string;
  readonly qe_identity: string;
  readonly qe_identity_signature: string;
}

/** The collateral of real quotes, as endorsements. */
export const tdxVectors = {
  /** Of the quote that is up to date, valid from 2025-06-19 to 2025-07-19. */
  upToDate(): Endorsements {
    const file = JSON.parse(
      Buffer.from(vector('tdx/v4-uptodate/collateral.json')).toString(),
    ) as CollateralFile;
    return {
      certificates: [file.pck_crl_issuer_chain, file.tcb_info_issuer_chain].map((pem) => Buffer.from(pem)),
      crls: [file.root_ca_crl, file.pck_crl].map((hex) => Buffer.from(hex, 'hex')),
      documents: [
        {
          kind: 'tdx-tcb-info',
          content: joinDocument('tcbInfo', file.tcb_info, file.tcb_info_signature),
        },
        {
          kind: 'tdx-qe-identity',
          content: joinDocument('enclaveIdentity', file.qe_identity, file.qe_identity_signature),
        },
      ],
    };
  },
  /** Of the quote of a TD that can be debugged; nobody kept the TCB signing certificate of its time. */
  debug(): Endorsements {
    const file = (name: string): Uint8Array => vector(`tdx/v4-debug/${name}`);
    return {
      certificates: [],
      crls: [file('pckcrl.response'), file('rootcrl.der')],
      documents: [
        { kind: 'tdx-tcb-info', content: file('tcbinfo.response') },
        { kind: 'tdx-qe-identity', content: file('qeidentity.response') },
      ],
    };
  },
};
