import { describe, expect, it } from '@jest/globals';
import { snpPolicySchema, softFields } from '@muster/shared/evidence/x-snp/policy.js';
import { defaultHwid, defaultTcb, defaultTurinTcb } from '../../../support/snp-builder.js';
import { defaultGuestPolicy } from '../../../support/snp-report.js';
import { appraiseSnp, verdict, type SnpCaseOptions } from '../../../support/snp-case.js';

const hwid = Buffer.from(defaultHwid()).toString('hex');
const turinHwid = Buffer.from(defaultHwid('Turin')).toString('hex');
const other = '77'.repeat(64);
const digest = new Uint8Array(48).fill(0xab);
const hexDigest = 'ab'.repeat(48);

/** Per field: its reason, a case that the policy refuses, and what mends it, in the policy or in the report. */
const fields: readonly {
  readonly field: string;
  readonly code: string;
  readonly claim: string;
  readonly refused: SnpCaseOptions;
  readonly mended: SnpCaseOptions;
}[] = [
  {
    field: 'products',
    code: 'SNP_PRODUCT_NOT_ALLOWED',
    claim: 'hardware',
    refused: { policy: { products: ['Genoa', 'Turin'] } },
    mended: { policy: { products: ['Milan'] } },
  },
  {
    field: 'deny_products',
    code: 'SNP_PRODUCT_DENIED',
    claim: 'hardware',
    refused: { policy: { deny_products: ['Milan'] } },
    mended: { policy: { deny_products: ['Genoa'] } },
  },
  {
    field: 'chips',
    code: 'SNP_CHIP_NOT_ALLOWED',
    claim: 'instance-identity',
    refused: { policy: { chips: { allow: [other] } } },
    mended: { policy: { chips: { allow: [other, hwid.toUpperCase()] } } },
  },
  {
    field: 'chips',
    code: 'SNP_CHIP_NOT_ALLOWED',
    claim: 'instance-identity',
    refused: { product: 'Turin', policy: { chips: { allow: [] } } },
    mended: { product: 'Turin', policy: { chips: { allow: [turinHwid] } } },
  },
  {
    field: 'chips',
    code: 'SNP_CHIP_NOT_ALLOWED',
    claim: 'instance-identity',
    refused: { chip: { kind: 'VLEK' }, policy: { chips: { allow: ['00'.repeat(64)] } } },
    mended: { chip: { kind: 'VLEK' } },
  },
  {
    field: 'chips',
    code: 'SNP_CHIP_DENIED',
    claim: 'instance-identity',
    refused: { policy: { chips: { deny: [hwid] } } },
    mended: { policy: { chips: { deny: [other] } } },
  },
  {
    field: 'signing_keys',
    code: 'SNP_SIGNING_KEY_NOT_ALLOWED',
    claim: 'instance-identity',
    refused: { chip: { kind: 'VLEK' }, policy: { signing_keys: ['VCEK'] } },
    mended: { chip: { kind: 'VLEK' }, policy: { signing_keys: ['VLEK'] } },
  },
  {
    field: 'vmpl',
    code: 'SNP_VMPL',
    claim: 'configuration',
    refused: { fields: { vmpl: 1 } },
    mended: { fields: { vmpl: 1 }, policy: { vmpl: [0, 1] } },
  },
  {
    field: 'debug',
    code: 'SNP_DEBUG',
    claim: 'runtime-opaque',
    refused: { fields: { policy: defaultGuestPolicy | (1n << 19n) } },
    mended: { fields: { policy: defaultGuestPolicy | (1n << 19n) }, policy: { debug: true } },
  },
  {
    field: 'migration_agent',
    code: 'SNP_MIGRATION_AGENT',
    claim: 'configuration',
    refused: { fields: { policy: defaultGuestPolicy | (1n << 18n) } },
    mended: { fields: { policy: defaultGuestPolicy | (1n << 18n) }, policy: { migration_agent: true } },
  },
  {
    field: 'measurements',
    code: 'SNP_MEASUREMENT_UNKNOWN',
    claim: 'executables',
    refused: { policy: { measurements: [hexDigest] } },
    mended: { policy: { measurements: [hexDigest, '5A'.repeat(48)] } },
  },
  {
    field: 'host_data',
    code: 'SNP_HOST_DATA',
    claim: 'configuration',
    refused: { policy: { host_data: ['01'.repeat(32)] } },
    mended: { fields: { hostData: new Uint8Array(32).fill(1) }, policy: { host_data: ['01'.repeat(32)] } },
  },
  {
    field: 'id_key_digests',
    code: 'SNP_ID_KEY',
    claim: 'executables',
    refused: { policy: { id_key_digests: [hexDigest] } },
    mended: { fields: { idKeyDigest: digest }, policy: { id_key_digests: [hexDigest] } },
  },
  {
    field: 'author_key_digests',
    code: 'SNP_AUTHOR_KEY',
    claim: 'executables',
    refused: { fields: { authorKeyDigest: digest }, policy: { author_key_digests: [hexDigest] } },
    mended: {
      fields: { authorKeyDigest: digest, signerFlags: 1 },
      policy: { author_key_digests: [hexDigest] },
    },
  },
  {
    field: 'author_key_digests',
    code: 'SNP_AUTHOR_KEY',
    claim: 'executables',
    refused: { fields: { signerFlags: 1 }, policy: { author_key_digests: [hexDigest] } },
    mended: { fields: { signerFlags: 1 }, policy: { author_key_digests: ['00'.repeat(48)] } },
  },
  {
    field: 'minimum_guest_svn',
    code: 'SNP_GUEST_SVN',
    claim: 'executables',
    refused: { fields: { guestSvn: 3 }, policy: { minimum_guest_svn: 4 } },
    mended: { fields: { guestSvn: 4 }, policy: { minimum_guest_svn: 4 } },
  },
  ...(['bootloader', 'tee', 'snp', 'microcode'] as const).map((component) => ({
    field: 'minimum_tcb',
    code: 'SNP_TCB_BELOW_MINIMUM',
    claim: 'hardware',
    refused: { policy: { minimum_tcb: { Milan: { [component]: defaultTcb[component] + 1 } } } },
    mended: { policy: { minimum_tcb: { Milan: { ...defaultTcb }, Genoa: { [component]: 255 } } } },
  })),
  {
    field: 'minimum_tcb',
    code: 'SNP_TCB_BELOW_MINIMUM',
    claim: 'hardware',
    refused: { product: 'Turin', policy: { minimum_tcb: { Turin: { fmc: 2 } } } },
    mended: { product: 'Turin', policy: { minimum_tcb: { Turin: { ...defaultTurinTcb } } } },
  },
  {
    field: 'minimum_launch_tcb',
    code: 'SNP_LAUNCH_TCB_BELOW_MINIMUM',
    claim: 'hardware',
    refused: {
      fields: { launchTcb: { ...defaultTcb, snp: 20 } },
      policy: { minimum_launch_tcb: { Milan: { snp: 21 } } },
    },
    mended: { policy: { minimum_launch_tcb: { Milan: { snp: 21 } } } },
  },
  ...(['2.0.0', '1.56.0', '1.55.30'] as const).map((minimum) => ({
    field: 'minimum_firmware',
    code: 'SNP_FIRMWARE_BELOW_MINIMUM',
    claim: 'hardware',
    refused: { policy: { minimum_firmware: minimum } },
    mended: { policy: { minimum_firmware: '1.55.29' } },
  })),
  {
    field: 'smt',
    code: 'SNP_SMT',
    claim: 'configuration',
    refused: { policy: { smt: false } },
    mended: { fields: { platformInfo: 0n }, policy: { smt: false } },
  },
  {
    field: 'require_alias_check',
    code: 'SNP_ALIAS_CHECK',
    claim: 'hardware',
    refused: { fields: { platformInfo: 0n }, policy: { require_alias_check: true } },
    mended: { fields: { platformInfo: 1n << 5n }, policy: { require_alias_check: true } },
  },
  {
    field: 'require_ecc',
    code: 'SNP_ECC',
    claim: 'hardware',
    refused: { fields: { platformInfo: 0n }, policy: { require_ecc: true } },
    mended: { fields: { platformInfo: 1n << 2n }, policy: { require_ecc: true } },
  },
  {
    field: 'require_tsme',
    code: 'SNP_TSME',
    claim: 'configuration',
    refused: { fields: { platformInfo: 0n }, policy: { require_tsme: true } },
    mended: { fields: { platformInfo: 1n << 1n }, policy: { require_tsme: true } },
  },
  {
    field: 'require_rapl_disabled',
    code: 'SNP_RAPL',
    claim: 'configuration',
    refused: { fields: { platformInfo: 0n }, policy: { require_rapl_disabled: true } },
    mended: { fields: { platformInfo: 1n << 3n }, policy: { require_rapl_disabled: true } },
  },
  {
    field: 'require_ciphertext_hiding',
    code: 'SNP_CIPHERTEXT_HIDING',
    claim: 'runtime-opaque',
    refused: { fields: { platformInfo: 0n }, policy: { require_ciphertext_hiding: true } },
    mended: { fields: { platformInfo: 1n << 4n }, policy: { require_ciphertext_hiding: true } },
  },
  {
    field: 'require_single_socket',
    code: 'SNP_SINGLE_SOCKET',
    claim: 'configuration',
    refused: { policy: { require_single_socket: true } },
    mended: {
      fields: { policy: defaultGuestPolicy | (1n << 20n) },
      policy: { require_single_socket: true },
    },
  },
];

describe('each field of the policy', () => {
  it.each(fields)('$field refuses with $code', async ({ field, code, claim, refused }) => {
    const appraisal = await appraiseSnp(refused);
    expect(verdict(appraisal)).toBe(`contraindicated ${code}`);
    expect(appraisal.reasons[0]?.path).toBe(`namespaces.x-snp.${field}`);
    expect(appraisal.trustworthiness[claim]).toBe(96);
  });

  it.each(fields)('$field is met where it is mended', async ({ mended }) => {
    expect(verdict(await appraiseSnp(mended))).toBe('affirming');
  });

  it.each(fields.filter(({ field }) => field !== 'debug'))(
    '$field can be a warning',
    async ({ field, code, claim, refused }) => {
      const appraisal = await appraiseSnp({ ...refused, policy: { ...refused.policy, warn_on: [field] } });
      expect(verdict(appraisal)).toBe(`warning ${code}`);
      expect(appraisal.trustworthiness[claim]).toBe(32);
    },
  );

  it('has a test', () => {
    const tested = new Set(fields.map(({ field }) => field));
    expect([...tested].sort()).toEqual([...softFields, 'debug'].sort());
  });

  it('gives every reason, not only the first', async () => {
    const appraisal = await appraiseSnp({
      fields: { vmpl: 2, platformInfo: 0n },
      policy: { measurements: [hexDigest], require_ecc: true },
      input: { reportData: new Uint8Array(64).fill(1) },
    });
    expect(verdict(appraisal)).toBe(
      'contraindicated SNP_REPORT_DATA SNP_VMPL SNP_MEASUREMENT_UNKNOWN SNP_ECC',
    );
  });

  it('lets no warning hide a refusal, or something that is missing', async () => {
    const policy = { warn_on: ['vmpl'] };
    const fields = { vmpl: 1 };
    expect((await appraiseSnp({ policy: { ...policy, smt: false }, fields })).status).toBe('contraindicated');
    expect((await appraiseSnp({ policy, fields, crls: [] })).status).toBe('none');
    expect((await appraiseSnp({ fields, crls: [] })).status).toBe('contraindicated');
  });
});

describe('the schema', () => {
  it('has a default for every field that must have a value', () => {
    expect(snpPolicySchema.parse({})).toMatchObject({
      products: ['Milan', 'Genoa', 'Turin'],
      vmpl: [0],
      debug: false,
      migration_agent: false,
      revocation: 'required',
      chips: { deny: [] },
      warn_on: [],
    });
  });

  it.each<[string, Record<string, unknown>]>([
    ['an unknown field', { measurement: [] }],
    ['a short measurement', { measurements: ['ab'.repeat(47)] }],
    ['a measurement that is not hex', { measurements: ['zz'.repeat(48)] }],
    ['an unknown product', { products: ['Rome'] }],
    ['no product at all', { products: [] }],
    ['no privilege level at all', { vmpl: [] }],
    ['a privilege level that does not exist', { vmpl: [4] }],
    ['a component out of range', { minimum_tcb: { Milan: { snp: 256 } } }],
    ['a component that the product lacks', { minimum_tcb: { Milan: { fmc: 1 } } }],
    ['a chip id of another length', { chips: { allow: ['ab'] } }],
    ['a firmware version in another form', { minimum_firmware: '1.55' }],
    ['a text for a truth value', { debug: 'no' }],
    ['an unknown kind of revocation', { revocation: 'never' }],
    ['a warning on debugging', { warn_on: ['debug'] }],
    ['a warning on a cryptographic check', { warn_on: ['revocation'] }],
  ])('refuses %s', (_, policy) => {
    expect(snpPolicySchema.safeParse(policy).success).toBe(false);
  });
});
