import { describe, expect, it } from '@jest/globals';
import type { Appraisal, Json } from '@muster/shared/evidence/appraisal.js';
import { parseYaml } from '@muster/shared/config/load.js';
import { MusterError } from '@muster/shared/errors.js';
import { applyRules, customRulesSchema, type RuledAppraisal } from '@muster/shared/policy/custom-rules.js';
import { policySchema } from '@muster/shared/policy/policy.js';
import { reason } from '@muster/shared/reasons.js';
import * as fc from 'fast-check';
import { verdict } from '../../support/snp-case.js';

const subject = { name: 'site-1', role: 'site' } as const;
const claims = {
  tcb: { snp: 8, microcode: 115 },
  chip: 'ab12',
  debug: false,
  load: 0.5,
  levels: [1, 2, 3],
  nothing: null,
  devices: { 'GPU-0': { driver: '550.90.07' }, 'GPU-1': { driver: '550.54.15' } },
};

function appraisal(changes: Partial<Appraisal> = {}): Appraisal {
  const none = { reasons: [], unchecked: [], trustworthiness: {}, simulated: false };
  return { namespace: 'x-snp', status: 'affirming', claims, ...none, ...changes };
}

function ruled(
  rules: readonly Record<string, unknown>[] | string,
  changes: Partial<Appraisal> = {},
): RuledAppraisal {
  const given = typeof rules === 'string' ? [{ name: 'r', expression: rules }] : rules;
  return applyRules(customRulesSchema.parse(given), appraisal(changes), subject);
}

describe('a rule over claims', () => {
  it.each([
    'claims.tcb.snp >= 8 && claims.tcb.microcode > 100',
    'claims.tcb.snp + 1 == 9',
    'claims.load < 0.6',
    'claims.levels[1] == 2 && 3 in claims.levels',
    'claims.nothing == null && !claims.debug',
    "claims.chip.matches('^[0-9a-f]+$') && claims.chip.size() == 4",
    "role == 'site' && participant.startsWith('site-')",
    "claims.devices.all(d, claims.devices[d].driver.startsWith('550.'))",
    "claims.devices.exists_one(d, claims.devices[d].driver == '550.90.07')",
    '!has(claims.missing) || claims.missing > 3',
    'type(claims.chip) == string',
  ])('lets an appraisal be where it holds: %s', (expression) => {
    const { appraisal: after, findings } = ruled(expression);
    expect(after).toEqual(appraisal());
    expect(findings).toMatchObject([{ outcome: 'holds' }]);
  });

  it('lowers an appraisal to its tier where it does not hold, and says its message', () => {
    const [expression, message] = ['claims.tcb.snp >= 9', 'SNP firmware 9 came with the advisory 3019.'];
    const { appraisal: refused } = ruled([{ name: 'firmware', expression, message }]);
    expect(verdict(refused)).toBe('contraindicated POLICY_RULE_REFUSED');
    expect(refused.reasons[0]?.message).toBe(`The rule firmware: ${message}`);
    expect(verdict(ruled([{ name: 'r', expression, tier: 'warning' }]).appraisal)).toBe(
      'warning POLICY_RULE_REFUSED',
    );
  });

  it.each([
    ['names what is missing', 'claims.missing > 3', 'field not found: missing'],
    ['compares what cannot be compared', "claims.tcb.snp > 'a'", 'no matching overload'],
    ['is no boolean', 'claims.chip', 'it is neither true nor false'],
    ['is a number', 'claims.tcb.snp', 'it is neither true nor false'],
    ['reads below a scalar', 'claims.chip.x == 1', ''],
  ])('counts as no where it %s', (_title, expression, cause) => {
    const { appraisal: refused, findings } = ruled(expression);
    expect(verdict(refused)).toBe('contraindicated POLICY_RULE_FAILED');
    expect(refused.reasons[0]?.message).toContain('The rule r cannot be evaluated: ');
    expect(refused.reasons[0]?.message).toContain(cause);
    expect(findings).toMatchObject([{ outcome: 'failed' }]);
  });

  it('counts as no where it takes too long, and so do those after it', () => {
    const list = Array.from({ length: 60_000 }, (_, index) => index);
    const slow = { name: 'slow', expression: 'claims.list.all(x, !claims.list.exists(y, y < 0))' };
    const before = { name: 'before', expression: 'claims.list.size() == 60000' };
    const after = { name: 'after', expression: 'true' };
    const { appraisal: refused, findings } = ruled([before, slow, after], { claims: { list } });
    expect(findings.map(({ outcome }) => outcome)).toEqual(['holds', 'failed', 'failed']);
    expect(verdict(refused)).toBe('contraindicated POLICY_RULE_FAILED POLICY_RULE_FAILED');
  });

  it('is about its namespace only', () => {
    const rule = { name: 'r', when: 'x-tdx', expression: 'false' };
    expect(ruled([rule]).findings).toMatchObject([{ outcome: 'skipped' }]);
    expect(ruled([rule], { namespace: 'x-tdx' }).appraisal.status).toBe('contraindicated');
    expect(ruled([{ ...rule, when: undefined }]).appraisal.status).toBe('contraindicated');
  });

  it('lowers what is a warning already, for that may be accepted', () => {
    expect(verdict(ruled('false', { status: 'warning' }).appraisal)).toBe(
      'contraindicated POLICY_RULE_REFUSED',
    );
  });

  it.each(['none', 'contraindicated'] as const)('is not asked about what is %s as it is', (status) => {
    const before = { status, reasons: [reason('SNP_REPORT_LENGTH')] };
    const { appraisal: after, findings } = ruled('false', before);
    expect(after).toEqual(appraisal(before));
    expect(findings).toMatchObject([{ outcome: 'skipped' }]);
  });

  it('never raises a tier, and keeps the reasons', () => {
    const rank = { affirming: 0, warning: 1, none: 2, contraindicated: 3 };
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(rank) as (keyof typeof rank)[])),
        fc.array(
          fc.record({
            expression: fc.constantFrom('true', 'false', 'claims.missing', 'claims.chip == "ab12"'),
            tier: fc.constantFrom('warning', 'contraindicated'),
          }),
          { maxLength: 4 },
        ),
        (status, rules) => {
          const before = appraisal({ status, reasons: [reason('SNP_DEBUG')] });
          const named = rules.map((rule, index) => ({ name: `r${index}`, ...rule }));
          const { appraisal: after } = applyRules(customRulesSchema.parse(named), before, subject);
          expect(rank[after.status]).toBeGreaterThanOrEqual(rank[status]);
          expect(after.reasons).toContain(before.reasons[0]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('gives an answer for whatever claims say', () => {
    const rules = customRulesSchema.parse([{ name: 'r', expression: 'claims.x == claims.y' }]);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('x', 'y', '__proto__'), fc.jsonValue()), (hostile) => {
        const given = appraisal({ claims: hostile as Readonly<Record<string, Json>> });
        expect(['affirming', 'contraindicated']).toContain(
          applyRules(rules, given, subject).appraisal.status,
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe('the rules of a policy', () => {
  const messagesOf = (rules: string): (string | undefined)[] => {
    const text = `servers: [{name: m, require: [x-snp]}]\nrules: ${rules}\n`;
    try {
      parseYaml(text, policySchema, 'POLICY_INVALID', 'policy.yaml');
    } catch (error) {
      if (error instanceof MusterError && error.code === 'POLICY_INVALID') {
        return error.reasons.map(({ message }) => message.replace('policy.yaml: ', ''));
      }
      throw error;
    }
    throw new Error('the policy was accepted');
  };

  it('take expressions of 2,048 characters', () => {
    expect(ruled('true'.padEnd(2_048)).findings).toMatchObject([{ outcome: 'holds' }]);
  });

  it.each([
    ['a slip', '[{name: r, expression: "claims.x =="}]', 'rules[0].expression: this does not compile: '],
    ['an unknown name', '[{name: r, expression: "clams.x"}]', 'there is no clams; an expression speaks of'],
    ['an unknown name in a macro', '[{name: r, expression: "claims.l.all(x, y)"}]', 'there is no y;'],
    ['an unknown function', '[{name: r, expression: "shell(claims)"}]', 'there is no function shell'],
    ['too much', `[{name: r, expression: "${'true &&'.repeat(400)} true"}]`, 'at most 2048 characters'],
    [
      'deep nesting',
      `[{name: r, expression: "${'['.repeat(1000)}1${']'.repeat(1000)}"}]`,
      'does not compile',
    ],
    ['an unknown namespace', '[{name: r, when: x-none, expression: "true"}]', 'rules[0].when: no verifier'],
    ['a tier that raises', '[{name: r, expression: "true", tier: affirming}]', 'rules[0].tier: '],
    ['a name twice', '[{name: r, expression: "true"}, {name: r, expression: "true"}]', 'used twice'],
  ])('are refused with %s', (_title, rules, message) => {
    expect(messagesOf(rules)).toEqual([expect.stringContaining(message)]);
  });
});
