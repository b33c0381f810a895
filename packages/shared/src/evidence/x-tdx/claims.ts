import type { Json } from '../appraisal.js';
import type { PckChain } from './chain.js';
import type { TdxQuote } from './quote.js';
import type { Standing, TcbStanding } from './tcb.js';

type Claims = { readonly [key: string]: Json };

/** What a quote says, for people and programs; byte strings in lower-case hex. */
export function quoteClaims({ version, report, qeReport }: TdxQuote): Claims {
  const { tdAttributes, teeTcbSvn2, mrServiceTd } = report;
  return {
    version,
    mrtd: hexOf(report.mrTd),
    rtmr0: hexOf(report.rtmrs[0]),
    rtmr1: hexOf(report.rtmrs[1]),
    rtmr2: hexOf(report.rtmrs[2]),
    rtmr3: hexOf(report.rtmrs[3]),
    report_data: hexOf(report.reportData),
    mrconfigid: hexOf(report.mrConfigId),
    mrowner: hexOf(report.mrOwner),
    mrownerconfig: hexOf(report.mrOwnerConfig),
    ...(mrServiceTd === undefined ? {} : { mrservicetd: hexOf(mrServiceTd) }),
    td_attributes: {
      raw: hexOf(tdAttributes.raw),
      debug: tdAttributes.debug,
      sept_ve_disable: tdAttributes.septVeDisable,
      migratable: tdAttributes.migratable,
      pks: tdAttributes.pks,
      key_locker: tdAttributes.keyLocker,
      perfmon: tdAttributes.perfmon,
    },
    xfam: hexOf(report.xfam),
    module: {
      mrseam: hexOf(report.mrSeam),
      mrsignerseam: hexOf(report.mrSignerSeam),
      seam_attributes: hexOf(report.seamAttributes),
      tee_tcb_svn: hexOf(report.teeTcbSvn),
      ...(teeTcbSvn2 === undefined ? {} : { tee_tcb_svn2: hexOf(teeTcbSvn2) }),
    },
    qe: { mrsigner: hexOf(qeReport.mrsigner), isv_prod_id: qeReport.isvProdId, isv_svn: qeReport.isvSvn },
  };
}

/** What the certificate of the platform says. */
export function platformClaims({ pckCa, platform }: PckChain): Claims {
  const { ppid, platformInstanceId, smtEnabled } = platform;
  return {
    platform: {
      fmspc: hexOf(platform.fmspc),
      pce_id: hexOf(platform.pceId),
      pce_svn: platform.pceSvn,
      component_svns: platform.componentSvns,
      ppid: hexOf(ppid),
      ...(platformInstanceId === undefined ? {} : { instance_id: hexOf(platformInstanceId) }),
      ...(smtEnabled === undefined ? {} : { smt: smtEnabled }),
      issuer: pckCa.commonName,
    },
  };
}

/** What Intel says of the platform. */
export function tcbClaims(tcb: TcbStanding): Claims {
  return {
    tcb_status: tcb.status,
    tcb: {
      evaluation_number: tcb.evaluationNumber,
      advisories: tcb.advisories,
      platform: standingClaim(tcb.platform),
      ...(tcb.module === undefined ? {} : { module: standingClaim(tcb.module) }),
      qe: standingClaim(tcb.qe),
    },
  };
}

function standingClaim({ tcbStatus, tcbDate }: Standing): Json {
  return { status: tcbStatus, date: tcbDate.toISOString() };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
