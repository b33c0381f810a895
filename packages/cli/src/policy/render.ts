import type { Json } from '@muster/shared/evidence/appraisal.js';
import type { RuleFinding } from '@muster/shared/policy/custom-rules.js';
import { requiredNamespaces, type Rule } from '@muster/shared/policy/policy.js';
import { appraisalJson, appraisalText } from '../evidence/render.js';
import { pairs, plain, type Styles } from '../render/text.js';
import type { Trial } from './try-policy.js';

/** A trial for programs. */
export function trialJson(trial: Trial): Json {
  const { subject, rule, source, verified, appraisal, findings, isProof } = trial;
  return {
    proof: isProof,
    ...(rule === undefined
      ? {}
      : {
          participant: subject.name,
          role: subject.role,
          rule: { name: rule.name, require: requiredNamespaces(rule), exempt: rule.exempt === true },
        }),
    namespace_policy: source,
    verifier_status: verified.status,
    rules: findings.map(({ rule: { name, tier, expression }, outcome }) => ({
      name,
      outcome,
      tier,
      expression: expression.text,
    })),
    appraisal: appraisalJson(appraisal),
  };
}

const sources: Readonly<Record<Trial['source'], string>> = {
  rule: "the rule's own part",
  file: "the file's part for everybody",
  default: "the verifier's defaults",
};

/** A trial for people: the answer, how it came about, and the appraisal. */
export function trialText(trial: Trial, style: Styles): string {
  const { subject, rule, source, verified, appraisal, findings, isProof } = trial;
  const steps = [
    ['participant', rule === undefined ? '' : `${subject.role} ${plain(subject.name)}`],
    ['rule', rule === undefined ? '' : `${rule.name} ${describe(rule)}`],
    ['policy', `${verified.namespace} by ${sources[source]}`],
    ['verifier', verified.status],
    ...findings.map((finding) => [`rule ${finding.rule.name}`, explain(finding)] as const),
  ] as const;
  const answer = isProof ? style.good('proof') : style.bad('no proof');
  return `${answer}\n\n${pairs(steps, style)}\n${appraisalText(appraisal, style)}`;
}

function describe(rule: Rule): string {
  const required = requiredNamespaces(rule);
  return required.length === 0 ? 'exempts the participant' : `requires ${required.join(', ')}`;
}

function explain({ rule: { tier }, outcome }: RuleFinding): string {
  switch (outcome) {
    case 'holds':
      return 'holds';
    case 'refused':
      return `does not hold: ${tier}`;
    case 'failed':
      return `cannot be evaluated: ${tier}`;
    case 'skipped':
      return 'not asked';
  }
}
