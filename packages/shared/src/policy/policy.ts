import * as z from 'zod';
import { duration } from '../config/duration.js';
import { loadYaml } from '../config/load.js';
import type { EvidenceVerifier } from '../evidence/appraisal.js';
import { verifierOf, verifiers } from '../evidence/verifiers.js';
import { perObject } from '../memo.js';
import { customRulesSchema } from './custom-rules.js';
import { responsesSchema } from './responses.js';

/**
 * Whom a rule is for: a name, or a pattern in which `*` stands for any characters. The first rule that matches counts.
 */
const pattern = z
  .string()
  .regex(/^[a-z0-9*-]{1,63}$/, 'expected a participant name, where * stands for any characters');

/** What each namespace's verifier insists on. */
const namespaceParts = z.strictObject(
  Object.fromEntries(verifiers.map(({ namespace, policySchema }) => [namespace, policySchema.optional()])),
);

const requirement = z
  .strictObject({
    exempt: z.literal(false).optional(),
    name: pattern,
    require: z
      .array(
        z
          .string()
          .refine((namespace) => verifierOf(namespace) !== undefined, 'no verifier knows this namespace'),
      )
      .min(1)
      .refine((list) => new Set(list).size === list.length, 'a namespace is listed twice'),
    /** For the participants of this rule, instead of the file's part for the same namespace. */
    namespaces: namespaceParts.optional(),
  })
  .superRefine(({ require, namespaces = {} }, context) => {
    for (const namespace of Object.keys(namespaces).filter((name) => !require.includes(name))) {
      context.addIssue({
        code: 'custom',
        path: ['namespaces', namespace],
        message: 'the rule does not require this namespace',
      });
    }
  });

const exemption = z.strictObject({
  name: pattern.refine((name) => !name.includes('*'), 'an exemption names one participant exactly'),
  exempt: z.literal(true),
  because: z.string().min(1).max(256),
});

const rule = z.discriminatedUnion('exempt', [requirement, exemption]);

/** The appraisal policy of a server or of a site. docs/policy.md describes it field by field. */
export const policySchema = z.strictObject({
  /** What servers must prove. */
  servers: z.array(rule).min(1),
  /** What sites must prove. */
  sites: z.array(rule).default([]),
  /** The longest life of a token that is accepted, ms. */
  token_lifetime: duration('5s', '24h').default(600_000),
  /** How far a participant's clock may be ahead, ms. */
  clock_leeway: duration('0s', '10m').default(30_000),
  /** Whether a result in the tier `warning` counts as proof. */
  accept_warning: z.boolean().default(false),
  /** Whether jobs may bring custom code. */
  byoc: z.boolean().default(false),
  /** What follows each kind of failure. */
  responses: responsesSchema,
  /** What each namespace's verifier insists on, unless a rule says otherwise. */
  namespaces: namespaceParts.default({}),
  /** What the claims have to fulfil beside. */
  rules: customRulesSchema,
});

/** A policy as its file says it, with all defaults filled in. */
export type Policy = z.output<typeof policySchema>;
/** One rule of `servers` or `sites`. */
export type Rule = z.output<typeof rule>;

/** Loads a policy file. Errors: FILE_UNREADABLE, POLICY_INVALID with the path to each offending value. */
export function loadPolicy(file: string): Policy {
  return loadYaml(file, policySchema, 'POLICY_INVALID');
}

/** The rule for a participant; undefined when the policy lists none, which counts as "no". */
export function ruleFor(
  policy: Policy,
  participant: { role: 'site' | 'server'; name: string },
): Rule | undefined {
  const rules = participant.role === 'server' ? policy.servers : policy.sites;
  return rules.find((candidate) => matches(candidate.name, participant.name));
}

/** The namespaces that a rule requires; none for an exempt participant. */
export function requiredNamespaces(rule: Rule): readonly string[] {
  return 'require' in rule ? rule.require : [];
}

/** The policy of one namespace for the participants of a rule; without a rule what the file says for everybody. */
export function namespacePolicy(
  policy: Policy,
  rule: Rule | undefined,
  { namespace, policySchema }: EvidenceVerifier,
): unknown {
  const part = { rule: ownPart(rule, namespace), file: policy.namespaces[namespace], default: undefined };
  return part[policySource(policy, rule, namespace)] ?? defaultPolicy(policySchema);
}

/**
 * Where the policy of a namespace is from: the rule's part, which replaces that of the file as a whole, or the file's
 * part, or the verifier's defaults.
 */
export function policySource(
  policy: Policy,
  rule: Rule | undefined,
  namespace: string,
): 'rule' | 'file' | 'default' {
  if (ownPart(rule, namespace) !== undefined) return 'rule';
  return policy.namespaces[namespace] === undefined ? 'default' : 'file';
}

function ownPart(rule: Rule | undefined, namespace: string): unknown {
  return rule !== undefined && 'require' in rule ? rule.namespaces?.[namespace] : undefined;
}

const defaultPolicy = perObject((schema: EvidenceVerifier['policySchema']) => schema.parse({}));

/** Each part between two stars is sought after the one before it: many stars take no longer than one. */
function matches(glob: string, name: string): boolean {
  const [first = '', ...parts] = glob.split('*');
  const last = parts.pop();
  if (last === undefined) return glob === name;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
