import type { Clock } from '@muster/shared/clock.js';
import type { VendorUrls } from '@muster/shared/endorsements/vendor-services.js';
import { refusal } from '@muster/shared/errors.js';
import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import { applyRules, type RuleFinding, type RuleSubject } from '@muster/shared/policy/custom-rules.js';
import {
  loadPolicy,
  namespacePolicy,
  policySource,
  ruleFor,
  type Rule,
} from '@muster/shared/policy/policy.js';
import { isProof } from '@muster/shared/tokens/appraise-tokens.js';
import { requireVerifier } from '../evidence/input.js';
import { appraiseFiles, type AppraiseOptions } from '../evidence/verify.js';

/** The options of `muster policy test`, as they were typed. */
export interface TryOptions extends AppraiseOptions {
  readonly policy: string;
  readonly participant?: string;
  readonly role: RuleSubject['role'];
}

/** What a policy says of evidence, step by step. */
export interface Trial {
  readonly subject: RuleSubject;
  /** The rule of `servers` or `sites` that counts for the participant; absent where none is named. */
  readonly rule: Rule | undefined;
  /** Where the namespace's policy is from. */
  readonly source: ReturnType<typeof policySource>;
  /** What the namespace's verifier says. */
  readonly verified: Appraisal;
  /** The same after the policy's own rules. */
  readonly appraisal: Appraisal;
  readonly findings: readonly RuleFinding[];
  /** Whether the appraisal counts as proof of this namespace. */
  readonly isProof: boolean;
}

/**
 * Appraises evidence from files as a server or a site with this policy would that has the same endorsements.
 * Errors: FILE_UNREADABLE, ARGUMENT_INVALID, POLICY_INVALID, POLICY_PARTICIPANT_UNLISTED.
 */
export async function tryPolicy(options: TryOptions, clock: Clock, urls: VendorUrls): Promise<Trial> {
  const { participant, role, namespace } = options;
  const verifier = requireVerifier(namespace);
  const policy = loadPolicy(options.policy);
  const subject = { name: participant ?? '', role };
  const rule = participant === undefined ? undefined : ruleFor(policy, subject);
  if (rule === undefined && participant !== undefined) {
    throw refusal('POLICY_PARTICIPANT_UNLISTED', { participant });
  }
  const verified = await appraiseFiles(
    verifier,
    namespacePolicy(policy, rule, verifier),
    options,
    clock,
    urls,
  );
  const { appraisal, findings } = applyRules(policy.rules, verified, subject);
  return {
    subject,
    rule,
    source: policySource(policy, rule, namespace),
    verified,
    appraisal,
    findings,
    isProof: isProof(appraisal, policy),
  };
}
