import { describe, expect, it } from '@jest/globals';
import { mergeStatuses } from '@muster/shared/evidence/x-tdx/tcb.js';
import { tcbStatuses, type TcbStatus } from '@muster/shared/evidence/x-tdx/collateral.js';
import { tdxPolicySchema } from '@muster/shared/evidence/x-tdx/policy.js';
import { appraiseTdx, verdict, type TdxCaseOptions } from '../../../support/tdx-case.js';
import type { TdReportFields } from '../../../support/tdx-quote.js';

const bytes = (value: number, length = 48): Uint8Array => new Uint8Array(length).fill(value);
const hex = (value: number, length = 48): string => Buffer.from(bytes(value, length)).toString('hex');

function withStatus(tcbStatus: string): TdxCaseOptions {
  return {
    tcbInfo: ({ tcbLevels: [level] }) => {
      if (level !== undefined) Object.assign(level, { tcbStatus, advisoryIDs: ['INTEL-SA-00837'] });
    },
  };
}

describe('the TCB status', () => {
  it.each([
    ['UpToDate', 'affirming'],
    ['SWHardeningNeeded', 'warning TDX_TCB_STATUS'],
    ['ConfigurationNeeded', 'warning TDX_TCB_STATUS'],
    ['ConfigurationAndSWHardeningNeeded', 'warning TDX_TCB_STATUS'],
    ['OutOfDate', 'warning TDX_TCB_STATUS'],
    ['OutOfDateConfigurationNeeded', 'warning TDX_TCB_STATUS'],
    ['Revoked', 'contraindicated TDX_TCB_STATUS'],
  ])('%s is by default %s', (status, expected) => {
    const appraisal = appraiseTdx(withStatus(status));
    expect(verdict(appraisal)).toBe(expected);
    expect(appraisal.claims).toMatchObject({ tcb_status: status, tcb: { advisories: ['INTEL-SA-00837'] } });
  });

  it('says which advisories it is because of', () => {
    const [reason] = appraiseTdx(withStatus('OutOfDate')).reasons;
    expect(reason).toMatchObject({
      message: 'The TCB status of the platform is OutOfDate, because of INTEL-SA-00837.',
      path: 'namespaces.x-tdx.tcb_statuses',
    });
    expect(appraiseTdx(withStatus('OutOfDate')).trustworthiness).toMatchObject({ hardware: 32 });
  });

  it('is judged as the policy says', () => {
    const policy = { tcb_statuses: { affirming: ['UpToDate', 'SWHardeningNeeded'], warning: [] } };
    expect(verdict(appraiseTdx({ ...withStatus('SWHardeningNeeded'), policy }))).toBe('affirming');
    expect(verdict(appraiseTdx({ ...withStatus('OutOfDate'), policy }))).toBe(
      'contraindicated TDX_TCB_STATUS',
    );
    const strict = { tcb_statuses: { affirming: [] } };
    expect(verdict(appraiseTdx({ policy: strict }))).toBe('contraindicated TDX_TCB_STATUS');
  });

  it('can never be made good when it is Revoked', () => {
    for (const list of ['affirming', 'warning']) {
      expect(tdxPolicySchema.safeParse({ tcb_statuses: { [list]: ['Revoked'] } }).success).toBe(false);
    }
  });

  it('is that of the level which every component reaches', () => {
    const svns = [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(verdict(appraiseTdx({ platform: { pceSvn: 10 } }))).toBe('warning TDX_TCB_STATUS');
    expect(verdict(appraiseTdx({ platform: { pceSvn: 300 } }))).toBe('affirming');
    expect(verdict(appraiseTdx({ platform: { pceSvn: 4 } }))).toBe('contraindicated TDX_TCB_UNSUPPORTED');
    for (const [index, svn] of svns.entries()) {
      const higher = svns.with(index, svn + 1);
      expect(verdict(appraiseTdx({ platform: { componentSvns: higher } }))).toBe('affirming');
      if (svn === 0) continue;
      const lower = svns.with(index, svn - 1);
      expect(verdict(appraiseTdx({ platform: { componentSvns: lower } }))).toBe(
        'contraindicated TDX_TCB_UNSUPPORTED',
      );
    }
  });

  it.each<[readonly number[], string]>([
    [[4, 1, 2], 'affirming'],
    [[9, 1, 1], 'contraindicated TDX_TCB_UNSUPPORTED'],
    [[5, 0, 2], 'affirming'],
    [[4, 0, 2], 'contraindicated TDX_TCB_UNSUPPORTED'],
    [[5, 0, 1], 'contraindicated TDX_TCB_UNSUPPORTED'],
  ])(
    'with the TDX versions %j is %s: those of a module with an identity count there',
    (teeTcbSvn, expected) => {
      expect(verdict(appraiseTdx({ quote: { report: { teeTcbSvn } } }))).toBe(expected);
    },
  );

  it('of the whole has what any part needs', () => {
    const merged: readonly (readonly [TcbStatus, TcbStatus, TcbStatus])[] = [
      ['UpToDate', 'UpToDate', 'UpToDate'],
      ['UpToDate', 'OutOfDate', 'OutOfDate'],
      ['SWHardeningNeeded', 'OutOfDate', 'OutOfDate'],
      ['ConfigurationNeeded', 'OutOfDate', 'OutOfDateConfigurationNeeded'],
      ['ConfigurationAndSWHardeningNeeded', 'OutOfDate', 'OutOfDateConfigurationNeeded'],
      ['OutOfDateConfigurationNeeded', 'UpToDate', 'OutOfDateConfigurationNeeded'],
      ['ConfigurationNeeded', 'SWHardeningNeeded', 'ConfigurationAndSWHardeningNeeded'],
    ];
    for (const [one, other, expected] of merged) {
      expect(mergeStatuses([one, other])).toBe(expected);
      expect(mergeStatuses([other, one])).toBe(expected);
    }
    for (const status of tcbStatuses) {
      expect(mergeStatuses([status])).toBe(status);
      expect(mergeStatuses([status, 'Revoked'])).toBe('Revoked');
    }
  });
});

describe('a field of the policy', () => {
  const report = (fields: TdReportFields): TdxCaseOptions => ({ quote: { report: fields } });
  const tdx15 = (fields: TdReportFields): TdxCaseOptions => ({
    quote: { version: 5, bodyType: 3, report: fields },
  });
  const rtmrs = [1, 2, 3, 4].map((value) => bytes(value));
  const instance = { platform: { platformInstanceId: bytes(7, 16) } };

  it.each<[field: string, code: string, fits: unknown, fails: unknown, options: TdxCaseOptions]>([
    ['advisories', 'TDX_ADVISORY', ['INTEL-SA-00837'], ['INTEL-SA-00001'], withStatus('UpToDate')],
    ['minimum_tcb_evaluation_number', 'TDX_TCB_EVALUATION_NUMBER', 17, 18, {}],
    ['fmspcs', 'TDX_FMSPC_NOT_ALLOWED', { allow: ['B0C06F000000'] }, { allow: [] }, {}],
    ['fmspcs', 'TDX_FMSPC_DENIED', { deny: ['00806f050000'] }, { deny: ['b0c06f000000'] }, {}],
    ['platforms', 'TDX_PLATFORM_NOT_ALLOWED', { allow: [hex(0x1d, 16)] }, { allow: [hex(1, 16)] }, {}],
    ['platforms', 'TDX_PLATFORM_NOT_ALLOWED', { allow: [hex(7, 16)] }, { allow: [] }, instance],
    ['platforms', 'TDX_PLATFORM_DENIED', { deny: [hex(1, 16)] }, { deny: [hex(7, 16)] }, instance],
    ['platforms', 'TDX_PLATFORM_DENIED', { deny: [hex(1, 16)] }, { deny: [hex(0x1d, 16)] }, instance],
    ['debug', 'TDX_DEBUG', true, false, report({ tdAttributes: 1n })],
    ['debug', 'TDX_DEBUG', true, false, report({ tdAttributes: 1n << 2n })],
    ['migratable', 'TDX_MIGRATABLE', true, false, report({ tdAttributes: 1n << 29n })],
    ['require_sept_ve_disable', 'TDX_SEPT_VE_DISABLE', false, true, report({ tdAttributes: 0n })],
    ['td_attributes', 'TDX_TD_ATTRIBUTES', ['0000001000000000'], ['0000000000000000'], {}],
    ['xfam', 'TDX_XFAM', ['E702060000000000'], ['0300000000000000'], {}],
    ['mrtd', 'TDX_MRTD', [hex(1), hex(0x5a)], [hex(1)], {}],
    ['mrtd', 'TDX_MRTD', [hex(0x5a)], [], {}],
    ...[0, 1, 2, 3].map((index): [string, string, unknown, unknown, TdxCaseOptions] => [
      `rtmr${index}`,
      'TDX_RTMR',
      [hex(index + 1)],
      [hex(9)],
      report({ rtmrs }),
    ]),
    ['mrconfigid', 'TDX_MRCONFIGID', [hex(1)], [hex(2)], report({ mrConfigId: bytes(1) })],
    ['mrowner', 'TDX_MROWNER', [hex(1)], [hex(2)], report({ mrOwner: bytes(1) })],
    ['mrownerconfig', 'TDX_MROWNERCONFIG', [hex(1)], [hex(2)], report({ mrOwnerConfig: bytes(1) })],
    ['mrseam', 'TDX_MRSEAM', [hex(0x5e)], [hex(2)], {}],
    ['mrservicetd', 'TDX_MRSERVICETD', [hex(1)], [hex(2)], tdx15({ mrServiceTd: bytes(1) })],
  ])('%s is applied (%s)', (field, code, fits, fails, options) => {
    expect(verdict(appraiseTdx({ ...options, policy: { [field]: fits } }))).toBe('affirming');
    const refused = appraiseTdx({ ...options, policy: { [field]: fails } });
    expect(verdict(refused)).toBe(`contraindicated ${code}`);
    expect(refused.reasons).toMatchObject([{ path: `namespaces.x-tdx.${field}` }]);
    if (field === 'debug') return;
    const soft = appraiseTdx({ ...options, policy: { [field]: fails, warn_on: [field] } });
    expect(verdict(soft)).toBe(`warning ${code}`);
  });

  it('lets a TD be that has SEPT_VE_DISABLE where the policy requires it', () => {
    const tdAttributes = 1n << 28n;
    const policy = { require_sept_ve_disable: true };
    expect(verdict(appraiseTdx({ ...report({ tdAttributes }), policy }))).toBe('affirming');
  });

  it('about a service TD refuses reports that have none', () => {
    expect(verdict(appraiseTdx({ policy: { mrservicetd: [hex(0)] } }))).toBe(
      'contraindicated TDX_MRSERVICETD',
    );
  });

  it('about the TCB says nothing while the collateral is missing', () => {
    const policy = { advisories: [], minimum_tcb_evaluation_number: 99, tcb_statuses: { affirming: [] } };
    expect(verdict(appraiseTdx({ withoutDocuments: true, policy }))).toBe(
      'none TDX_COLLATERAL_MISSING TDX_COLLATERAL_MISSING',
    );
  });

  it('is not the only one that is told', () => {
    const policy = { mrtd: [], rtmr1: [hex(1)], xfam: [] };
    expect(verdict(appraiseTdx({ policy, ...report({ tdAttributes: 1n }) }))).toBe(
      'contraindicated TDX_DEBUG TDX_XFAM TDX_MRTD TDX_RTMR',
    );
  });

  it.each<[string, unknown]>([
    ['an unknown key', { colour: 'red' }],
    ['a measurement of 32 bytes', { mrtd: [hex(1, 32)] }],
    ['an unknown status', { tcb_statuses: { affirming: ['Fine'] } }],
    ['an advisory that is none', { advisories: ['CVE-1'] }],
    ['debug as a warning', { warn_on: ['debug'] }],
    ['a short FMSPC', { fmspcs: { deny: ['00'] } }],
    ['another revocation', { revocation: 'never' }],
  ])('is refused: %s', (_, policy) => {
    expect(tdxPolicySchema.safeParse(policy).success).toBe(false);
  });
});
