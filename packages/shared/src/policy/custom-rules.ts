import * as z from 'zod';
import type { Appraisal } from '../evidence/appraisal.js';
import { verifierOf } from '../evidence/verifiers.js';
import { reason, type Reason } from '../reasons.js';
import { compileExpression, evaluateAll, type Evaluation } from './expression.js';

const maxRules = 64;

const customRule = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'expected a name such as recent-firmware'),
  /** The namespace whose claims it is about; without it those of every namespace. */
  when: z
    .string()
    .refine((namespace) => verifierOf(namespace) !== undefined, 'no verifier knows this namespace')
    .optional(),
  expression: z.string().transform((text, context) => {
    try {
      return compileExpression(text);
    } catch (error) {
      context.addIssue(`this does not compile: ${error instanceof Error ? error.message : String(error)}`);
      return z.NEVER;
    }
  }),
  /** What an appraisal comes down to when the expression is not true. */
  tier: z.enum(['warning', 'contraindicated']).default('contraindicated'),
  /** What the reason says then. */
  message: z.string().min(1).max(256).optional(),
});

/** The part `rules` of a policy file. docs/policy.md describes it. */
export const customRulesSchema = z
  .array(customRule)
  .max(maxRules)
  .refine((rules) => new Set(rules.map(({ name }) => name)).size === rules.length, 'a name is used twice')
  .default([]);

/** A rule of the federation's own, over the claims of an appraisal. */
export type CustomRule = z.output<typeof customRule>;

/** Whose appraisal it is. */
export interface RuleSubject {
  readonly name: string;
  readonly role: 'site' | 'server';
}

/** What a rule says of an appraisal. A rule is skipped where it is for another namespace, or nothing is proven yet. */
export type RuleFinding = { readonly rule: CustomRule } & (Evaluation | { readonly outcome: 'skipped' });

/** An appraisal after the rules, and what each of them said. */
export interface RuledAppraisal {
  readonly appraisal: Appraisal;
  readonly findings: readonly RuleFinding[];
}

/**
 * Evaluates every rule over an appraisal, in the policy's order, and lowers it to the tier of each that does not hold.
 * No rule raises one, and none is asked about one that is refused or unproven as it is. Never throws.
 */
export function applyRules(
  rules: readonly CustomRule[],
  appraisal: Appraisal,
  { name, role }: RuleSubject,
): RuledAppraisal {
  const { namespace, claims, status } = appraisal;
  const isProven = status === 'affirming' || status === 'warning';
  const asked = rules.filter(({ when = namespace }) => isProven && when === namespace);
  if (asked.length === 0) {
    return { appraisal, findings: rules.map((rule) => ({ rule, outcome: 'skipped' })) };
  }
  const given = { claims, participant: name, role };
  const evaluations = evaluateAll(
    asked.map(({ expression }) => expression),
    given,
  );
  const findings = rules.map((rule): RuleFinding => ({
    rule,
    ...(evaluations[asked.indexOf(rule)] ?? { outcome: 'skipped' }),
  }));
  const failed = findings.filter(({ outcome }) => outcome === 'refused' || outcome === 'failed');
  if (failed.length === 0) return { appraisal, findings };
  const isRefused = failed.some(({ rule }) => rule.tier === 'contraindicated');
  return {
    appraisal: {
      ...appraisal,
      status: isRefused ? 'contraindicated' : 'warning',
      reasons: [...failed.map(explain), ...appraisal.reasons],
    },
    findings,
  };
}

function explain({ rule: { name, message, expression }, ...evaluation }: RuleFinding): Reason {
  return evaluation.outcome === 'failed'
    ? reason('POLICY_RULE_FAILED', { message: `The rule ${name} cannot be evaluated: ${evaluation.cause}` })
    : reason('POLICY_RULE_REFUSED', { message: `The rule ${name}: ${message ?? expression.text}` });
}
