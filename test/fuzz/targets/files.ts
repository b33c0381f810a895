import { configSchema as agentSchema } from '@muster/agent/config/config.js';
import { configSchema as serverSchema } from '@muster/server/config/schema.js';
import { parseYaml } from '@muster/shared/config/load.js';
import { readBundle, writeBundle } from '@muster/shared/endorsements/bundle/bundle.js';
import { checkAnswers } from '@muster/shared/endorsements/bundle/check.js';
import type { Answer } from '@muster/shared/endorsements/bundle/answer.js';
import { readEndorsement } from '@muster/shared/endorsements/endorsement.js';
import { fileOf, queryOf } from '@muster/shared/endorsements/paths.js';
import type { EndorsementQuery } from '@muster/shared/evidence/appraisal.js';
import { compileExpression, evaluateAll } from '@muster/shared/policy/expression.js';
import { policySchema, ruleFor } from '@muster/shared/policy/policy.js';
import { nvTime } from '../../support/nvidia-device.js';
import { driverRim, rimDocuments } from '../../support/nvidia-case.js';
import { defaultHwid } from '../../support/snp-builder.js';
import { snpCase } from '../../support/snp-case.js';
import { tdxCase } from '../../support/tdx-case.js';
import { parserTarget, partOf, single, type NamedTarget } from '../target.js';

const utf8 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

const policyYaml = `
servers: [{ name: server-1, require: [x-snp] }]
sites:
  - { name: 'site-*', require: [x-tdx, x-nv-gpu], namespaces: { x-tdx: { debug: false } } }
  - { name: lab, exempt: true, because: it has no TEE }
token_lifetime: 10m
accept_warning: true
responses: { critical_level: SHUTDOWN_JOB, silent: [warn, stop_job] }
namespaces: { x-snp: { vmpl: [0], minimum_tcb: { Milan: { microcode: 100 } } } }
rules: [{ name: firmware, when: x-snp, expression: 'claims.version > 2' }]
`;

const serverYaml = `
name: server-1
trust_domain: hospitals.example
data_directory: /var/lib/muster
listen: { session: 0.0.0.0:8443, enrollment: '[::]:8444', advertise: [muster.example] }
policy: policy.yaml
verification: { schedule: '*/10 * * * *' }
metrics: { listen: 127.0.0.1:9090 }
`;

const agentYaml = `
name: site-1
trust_domain: hospitals.example
server: { session: muster.example:8443, enrollment: muster.example:8444 }
trust: { ca_hash: 'sha256:${'ab'.repeat(32)}' }
join_token_file: token
state_directory: /var/lib/muster-agent
socket: /run/muster.sock
policy: policy.yaml
attesters: [{ namespace: x-snp }]
`;

const claims = { tcb: { snp: 8 }, chip: 'ab12', debug: false, list: [1, 2], devices: { a: { driver: '1' } } };

/** A policy's patterns and a participant's name, which comes from outside. */
const participantRule: NamedTarget = {
  name: 'participant-rule',
  make: () => ({
    seeds: [
      ['site-*', 'site-1'],
      ['*a*b*', 'xaxbx'],
      ['site-1', 'site-1'],
    ].map(([glob = '', name = '']) => [...single(glob, 'glob'), ...single(name, 'name')]),
    words: ['*', 'a', 'aa', '**', 'a*'],
    run(input) {
      const [glob, name] = [partOf(input, 'glob'), partOf(input, 'name')].map(utf8) as [string, string];
      const rule = { name: glob, require: ['x-snp'] };
      const { success, data } = policySchema.safeParse({ servers: [rule], sites: [rule] });
      if (success) ruleFor(data, { role: 'site', name: name.slice(0, 63) });
      return [];
    },
  }),
};

/** Vendors' answers by their kinds, from a service or a directory. */
const answerKinds: readonly EndorsementQuery['kind'][] = [
  'certificates',
  'crl',
  'tdx-tcb-info',
  'tdx-qe-identity',
  'nvidia-rim',
  'ocsp',
];

function answers(): readonly Answer[] {
  const { certificates, crls } = snpCase().endorsements;
  const intel = tdxCase().endorsements;
  const [info, identity] = intel.documents ?? [];
  const of = (
    vendor: string,
    path: string,
    content: Uint8Array,
    issuers?: readonly Uint8Array[],
  ): Answer[] => {
    const query = queryOf(vendor, path);
    const found = query && readEndorsement(query.kind, content);
    return query === undefined || found === undefined
      ? []
      : [{ query, found: { ...found, ...(issuers && { issuers }) } }];
  };
  const chip = Buffer.from(defaultHwid()).toString('hex');
  return [
    ...of('amd', `vcek/v1/Milan/${chip}?blSPL=4`, certificates[0] ?? new Uint8Array()),
    ...of('amd', 'vcek/v1/Milan/crl', crls[0] ?? new Uint8Array()),
    ...of(
      'intel',
      'tdx/certification/v4/tcb?fmspc=b0c06f000000',
      info?.content ?? new Uint8Array(),
      intel.certificates,
    ),
    ...of(
      'intel',
      'tdx/certification/v4/qe/identity',
      identity?.content ?? new Uint8Array(),
      intel.certificates,
    ),
    ...rimDocuments.flatMap(({ kind, content }, index) =>
      of(
        'nvidia',
        kind === 'ocsp' ? `ocsp/${'0a'.repeat(48)}/${'0b'.repeat(48)}/0${index}` : `v1/rim/NV_${index}`,
        content,
      ),
    ),
  ];
}

const bundle: NamedTarget = {
  name: 'endorsement-bundle',
  make() {
    const roots = [
      ...snpCase().simulatedRoots,
      ...tdxCase().simulatedRoots,
      { fingerprint: driverRim.fingerprint },
    ].map(({ fingerprint }) => fingerprint);
    return {
      words: [
        'format',
        'created',
        'entries',
        'vendor',
        'path',
        'content',
        'issuers',
        'amd',
        'intel',
        'nvidia',
        '..',
      ],
      seeds: [answers(), answers().slice(0, 2)].map((list) => single(writeBundle(list, nvTime))),
      run(input) {
        const read = readBundle(partOf(input, ''));
        checkAnswers(read, { at: nvTime, simulatedRoots: roots });
        const outside = read.find(({ query }) => fileOf('/e', query)?.startsWith('/e/') !== true);
        if (outside !== undefined) throw new Error(`${outside.query.path} leaves its directory`);
        return [];
      },
    };
  },
};

const answer: NamedTarget = {
  name: 'vendor-answer',
  make: () => ({
    seeds: answers().map(({ query: { kind }, found }) => [
      { kind, bytes: found.items[0] ?? new Uint8Array() },
    ]),
    run(input) {
      for (const kind of answerKinds) readEndorsement(kind, input[0]?.bytes ?? new Uint8Array());
      return [];
    },
  }),
};

/** Files of configuration have up to 1 MiB, and are read once, at the start. */
const fileSlowMs = 2_500;

/** Files that people write or carry: policies, configurations, rules, endorsements. */
export const fileTargets: readonly NamedTarget[] = [
  parserTarget(
    'policy-file',
    (bytes) => parseYaml(utf8(bytes), policySchema, 'POLICY_INVALID', 'policy'),
    () => [policyYaml],
    { slowMs: fileSlowMs },
  ),
  parserTarget(
    'server-config',
    (bytes) => parseYaml(utf8(bytes), serverSchema, 'CONFIG_INVALID', 'config'),
    () => [serverYaml],
    { slowMs: fileSlowMs },
  ),
  parserTarget(
    'agent-config',
    (bytes) => parseYaml(utf8(bytes), agentSchema, 'CONFIG_INVALID', 'config'),
    () => [agentYaml],
    { slowMs: fileSlowMs },
  ),
  parserTarget(
    'expression',
    (bytes) => {
      const expression = compileExpression(utf8(bytes));
      evaluateAll([expression], { claims, participant: 'site-1', role: 'site' });
    },
    () => [
      'claims.tcb.snp >= 8 && claims.chip.matches("^[0-9a-f]+$")',
      'claims.list.all(x, x > 0 || !claims.debug)',
    ],
    {
      words: [
        'claims',
        'participant',
        'role',
        'all',
        'exists',
        'map',
        'filter',
        'matches',
        'size',
        'has',
        '&&',
        '||',
      ],
      // Compiling and evaluating are ended after a second each.
      slowMs: 2_500,
      documents: (error) => !(error instanceof TypeError),
    },
  ),
  participantRule,
  bundle,
  answer,
];
