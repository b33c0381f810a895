import { describe, expect, it } from '@jest/globals';
import { MusterError } from '@muster/shared/errors.js';
import { parseYaml } from '@muster/shared/config/load.js';
import {
  namespacePolicy,
  policySchema,
  policySource,
  requiredNamespaces,
  ruleFor,
  type Policy,
} from '@muster/shared/policy/policy.js';
import { failureKinds, presets } from '@muster/shared/policy/responses.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';

const minimal = 'servers: [{name: muster, require: [x-snp]}]\n';
const parse = (text: string): Policy => parseYaml(text, policySchema, 'POLICY_INVALID', 'policy.yaml');
const pathsOf = (text: string): (string | undefined)[] => {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof MusterError && error.code === 'POLICY_INVALID') {
      return error.reasons.map(({ path }) => path);
    }
    throw error;
  }
  throw new Error('the policy was accepted');
};

describe('a policy', () => {
  it('fills in what it does not say', () => {
    expect(parse(minimal)).toMatchObject({
      sites: [],
      token_lifetime: 600_000,
      clock_leeway: 30_000,
      accept_warning: false,
      byoc: false,
      responses: presets.SHUTDOWN_JOB,
    });
  });

  it('row 1: an attester of 10 s and the verifier of its namespace are both known', () => {
    const policy = parse(`${minimal}sites: [{name: site-1, require: [x-snp]}]\ntoken_lifetime: 10s\n`);
    expect(policy.token_lifetime).toBe(10_000);
    const rule = ruleFor(policy, { role: 'site', name: 'site-1' });
    expect(rule && requiredNamespaces(rule)).toEqual(['x-snp']);
  });

  it.each([
    ['an unknown key', `${minimal}extra: 1\n`, 'extra'],
    ['no rule for servers', 'servers: []\n', 'servers'],
    ['an unknown namespace', 'servers: [{name: m, require: [x-none]}]\n', 'servers[0].require[0]'],
    ['a namespace twice', 'servers: [{name: m, require: [x-snp, x-snp]}]\n', 'servers[0].require'],
    ['a rule that requires nothing', 'servers: [{name: m, require: []}]\n', 'servers[0].require'],
    [
      "a rule's part for a namespace that it does not require",
      'servers: [{name: m, require: [x-snp], namespaces: {x-tdx: {}}}]\n',
      'servers[0].namespaces.x-tdx',
    ],
    [
      "a mistake in a rule's part",
      'servers: [{name: m, require: [x-snp], namespaces: {x-snp: {debug: maybe}}}]\n',
      'servers[0].namespaces.x-snp.debug',
    ],
    ['an exemption by pattern', "servers: [{name: '*', exempt: true, because: x}]\n", 'servers[0].name'],
    ['an exemption without a cause', 'servers: [{name: m, exempt: true}]\n', 'servers[0].because'],
    ['a lifetime of zero', `${minimal}token_lifetime: 0s\n`, 'token_lifetime'],
    ['a lifetime that is a number', `${minimal}token_lifetime: 600\n`, 'token_lifetime'],
    ['a negative lifetime', `${minimal}token_lifetime: -10s\n`, 'token_lifetime'],
    [
      'an unknown critical level',
      `${minimal}responses: {critical_level: PANIC}\n`,
      'responses.critical_level',
    ],
    ['an unknown action', `${minimal}responses: {silent: [shout]}\n`, 'responses.silent[0]'],
    ['an action twice', `${minimal}responses: {silent: [warn, warn]}\n`, 'responses.silent'],
    ['an unknown failure kind', `${minimal}responses: {boredom: [warn]}\n`, 'responses.boredom'],
    ['the policy of an unknown namespace', `${minimal}namespaces: {x-none: {}}\n`, 'namespaces.x-none'],
  ])('is refused with %s, by its path', (_title, text, path) => {
    expect(pathsOf(text)).toEqual([path]);
  });

  it('answers each failure kind by the preset, unless the file names it', () => {
    const { responses } = parse(`${minimal}responses: {critical_level: SHUTDOWN_SYSTEM, silent: [warn]}\n`);
    expect(Object.keys(responses).toSorted()).toEqual([...failureKinds].toSorted());
    expect(responses.silent).toEqual(['warn']);
    expect(responses.token_expired).toEqual(['shutdown_system']);
  });
});

describe('the rule for a participant', () => {
  const policy = parse(`
servers: [{name: muster, require: [x-snp]}]
sites:
  - {name: lab-1, exempt: true, because: no hardware yet}
  - {name: lab-*, require: [x-snp]}
`);

  it('is the first that matches', () => {
    expect(ruleFor(policy, { role: 'site', name: 'lab-1' })).toMatchObject({ exempt: true });
    expect(ruleFor(policy, { role: 'site', name: 'lab-2' })).toMatchObject({ require: ['x-snp'] });
  });

  it('is none for a name that is not listed, or listed for the other role', () => {
    expect(ruleFor(policy, { role: 'site', name: 'my-lab-1' })).toBeUndefined();
    expect(ruleFor(policy, { role: 'site', name: 'muster' })).toBeUndefined();
    expect(ruleFor(policy, { role: 'server', name: 'lab-1' })).toBeUndefined();
  });

  it('requires nothing of an exempt participant', () => {
    const rule = ruleFor(policy, { role: 'site', name: 'lab-1' });
    expect(rule && requiredNamespaces(rule)).toEqual([]);
  });
});

describe('the policy of a namespace', () => {
  const digest = (byte: string): string => byte.repeat(48);
  const policy = parse(`
servers: [{name: muster, require: [x-snp]}]
sites:
  - name: gpu-*
    require: [x-snp, x-nv-gpu]
    namespaces:
      x-snp: { measurements: ['${digest('aa')}'] }
      x-nv-gpu: { gpus: { exactly: 8 } }
  - {name: '*', require: [x-snp]}
namespaces:
  x-snp: { measurements: ['${digest('bb')}'], revocation: optional }
  x-nv-gpu: { minimum_driver: '550.90.07' }
`);
  const of = (name: string, verifier: typeof snpVerifier | typeof nvVerifier): unknown => {
    const rule = ruleFor(policy, { role: 'site', name });
    return rule && namespacePolicy(policy, rule, verifier);
  };

  it("is the rule's part, which replaces the file's as a whole", () => {
    expect(of('gpu-1', snpVerifier)).toMatchObject({
      measurements: [digest('aa')],
      revocation: 'required',
    });
    expect(of('gpu-1', nvVerifier)).toMatchObject({ gpus: { exactly: 8 } });
    expect(of('gpu-1', nvVerifier)).not.toHaveProperty('minimum_driver');
  });

  it('is said to be from the rule, from the file, or the default of the verifier', () => {
    const sourceFor = (name: string, namespace: string): string =>
      policySource(policy, ruleFor(policy, { role: 'site', name }), namespace);
    expect(sourceFor('gpu-1', 'x-snp')).toBe('rule');
    expect(sourceFor('site-1', 'x-snp')).toBe('file');
    expect(sourceFor('site-1', 'x-tdx')).toBe('default');
  });

  it("is the file's part for all others", () => {
    expect(of('site-1', snpVerifier)).toMatchObject({
      measurements: [digest('bb')],
      revocation: 'optional',
    });
    expect(of('site-1', nvVerifier)).toMatchObject({ minimum_driver: '550.90.07' });
  });
});
