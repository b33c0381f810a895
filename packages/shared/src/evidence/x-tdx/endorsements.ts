import type { EndorsementDocument, EndorsementQuery, Endorsements, Evidence } from '../appraisal.js';
import { parseCertificate, parseCrl } from '../x509.js';
import { readPckPlatform } from './pck-extension.js';
import { splitPckChain } from './pem-chain.js';
import { parseQuote } from './quote.js';

/**
 * What is worth fetching from Intel's service for a quote (Intel PCS API, version 4), under the paths that a caching
 * service (PCCS) has as well. What is at hand is never replaced by something fetched: wrong collateral is refused.
 */
export function tdxEndorsementQueries(evidence: Evidence, atHand: Endorsements): readonly EndorsementQuery[] {
  const quote = parseQuote(evidence.evidence);
  if ('code' in quote) return [];
  const certificates = (splitPckChain(quote.pckChain) ?? []).flatMap((der) => parseCertificate(der) ?? []);
  const pck = certificates.find(({ extensions }) => readPckPlatform(extensions) !== undefined);
  const platform = pck === undefined ? undefined : readPckPlatform(pck.extensions);
  if (pck === undefined || platform === undefined) return [];

  const pckCa = certificates.find(({ subject }) => subject === pck.issuer);
  const ca = pck.issuerCommonName.includes('Processor') ? 'processor' : 'platform';
  const fmspc = Buffer.from(platform.fmspc).toString('hex');
  const issuers = new Set(atHand.crls.map((der) => parseCrl(der)?.issuer));
  const hasDocument = (kind: EndorsementDocument['kind']): boolean =>
    atHand.documents?.some((document) => document.kind === kind) ?? false;
  const intel = (kind: EndorsementQuery['kind'], path: string): EndorsementQuery => ({
    vendor: 'intel',
    kind,
    path,
  });
  return [
    ...(hasDocument('tdx-tcb-info')
      ? []
      : [intel('tdx-tcb-info', `tdx/certification/v4/tcb?fmspc=${fmspc}`)]),
    ...(hasDocument('tdx-qe-identity') ? [] : [intel('tdx-qe-identity', 'tdx/certification/v4/qe/identity')]),
    ...(issuers.has(pck.issuer) ? [] : [intel('crl', `sgx/certification/v4/pckcrl?ca=${ca}&encoding=der`)]),
    ...(pckCa === undefined || issuers.has(pckCa.issuer)
      ? []
      : [intel('crl', 'sgx/certification/v4/rootcacrl')]),
  ];
}
