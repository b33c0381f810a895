import { verify } from 'node:crypto';
import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import type { EndorsementDocument } from '../appraisal.js';
import { select, type Check } from '../select.js';
import { holds, type VendorCertificate } from '../x509.js';
import {
  readQeIdentity,
  readTcbInfo,
  type QeIdentity,
  type SignedDocument,
  type TcbInfo,
} from './collateral.js';
import type { PckPlatform } from './pck-extension.js';

/** A document whose signature and dates hold, or why there is none: it is missing, or what there is is refused. */
export type Found<T> = { readonly value: T } | { readonly missing: Reason } | { readonly refusal: Reason };

interface Context {
  readonly documents: readonly EndorsementDocument[];
  /** Certificates of keys that sign such documents; their chains hold. A reason where none of them is fit. */
  readonly signers: readonly VendorCertificate[] | Reason;
  readonly at: Date;
}

/** Finds the TCB info for a platform, the newest where there are several. */
export function findTcbInfo(
  context: Context,
  { fmspc, pceId }: Pick<PckPlatform, 'fmspc' | 'pceId'>,
): Found<TcbInfo> {
  return find('TCB info', 'tdx-tcb-info', readTcbInfo, context, [
    ({ value }) => differs('TDX_TCB_INFO_FMSPC', 'FMSPC', value.fmspc, fmspc),
    ({ value }) => differs('TDX_TCB_INFO_PCE_ID', 'PCE id', value.pceId, pceId),
  ]);
}

/** Finds the identity of the quoting enclave, the newest where there are several. */
export function findQeIdentity(context: Context): Found<QeIdentity> {
  return find('QE identity', 'tdx-qe-identity', readQeIdentity, context, []);
}

interface Dated {
  readonly issueDate: Date;
  readonly nextUpdate: Date;
  readonly tcbEvaluationDataNumber: number;
}

function find<T extends Dated>(
  name: string,
  kind: EndorsementDocument['kind'],
  read: (content: Uint8Array) => SignedDocument<T> | undefined,
  { documents, signers, at }: Context,
  ownChecks: readonly Check<SignedDocument<T>>[],
): Found<T> {
  const candidates = documents.filter((document) => document.kind === kind);
  if (candidates.length === 0) {
    return { missing: reason('TDX_COLLATERAL_MISSING', { message: `There is no ${name}.` }) };
  }
  const readable = candidates.flatMap(({ content }) => read(content) ?? []);
  if (readable.length === 0) {
    const message = `The ${name} is not one of Intel's for TDX, version 3 (QE identity: version 2).`;
    return { refusal: reason('TDX_COLLATERAL_UNREADABLE', { message }) };
  }
  if ('code' in signers) return { refusal: signers };
  if (signers.length === 0) {
    const message = `There is no TCB signing certificate to verify the ${name} with.`;
    return { missing: reason('TDX_COLLATERAL_SIGNER_MISSING', { message }) };
  }
  const { passed, failure } = select(readable, [
    (document) =>
      signers.some((signer) => isSignedBy(document, signer))
        ? undefined
        : reason('TDX_COLLATERAL_SIGNATURE', { message: `The signature on the ${name} does not hold.` }),
    ...ownChecks,
    ({ value: { issueDate } }) =>
      issueDate <= at
        ? undefined
        : reason('TDX_COLLATERAL_NOT_YET_VALID', {
            message: `The ${name} was issued at ${issueDate.toISOString()}.`,
          }),
    ({ value: { nextUpdate } }) =>
      at <= nextUpdate
        ? undefined
        : reason('TDX_COLLATERAL_EXPIRED', {
            message: `The ${name} ended at ${nextUpdate.toISOString()}.`,
          }),
  ]);
  const [newest] = passed
    .map(({ value }) => value)
    .toSorted(
      (a, b) =>
        b.tcbEvaluationDataNumber - a.tcbEvaluationDataNumber ||
        b.issueDate.getTime() - a.issueDate.getTime(),
    );
  if (newest !== undefined) return { value: newest };
  return { refusal: failure ?? reason('TDX_COLLATERAL_UNREADABLE') };
}

function isSignedBy<T>(document: SignedDocument<T>, { publicKey: key }: VendorCertificate): boolean {
  const { signedBytes, signature } = document;
  return holds(document, key, () =>
    verify('sha256', signedBytes, { key, dsaEncoding: 'ieee-p1363' }, signature),
  );
}

function differs(code: ReasonCode, field: string, named: string, own: Uint8Array): Reason | undefined {
  const expected = Buffer.from(own).toString('hex');
  if (named === expected) return undefined;
  return reason(code, {
    message: `The TCB info is for the ${field} ${named}; the platform has ${expected}.`,
  });
}
