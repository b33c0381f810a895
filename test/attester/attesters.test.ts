import { describe, expect, it } from '@jest/globals';
import * as z from 'zod';
import { attestersConfigSchema, createAttesters } from '@muster/attester/attesters.js';
import { validate } from '@muster/shared/config/load.js';

const schema = z.strictObject({ attesters: attestersConfigSchema });
const load = (attesters: unknown): unknown => validate({ attesters }, schema, 'CONFIG_INVALID', 'agent.yaml');

describe('the configuration of attesters', () => {
  it('has defaults for everything but the namespace', () => {
    expect(load([{ namespace: 'x-snp' }])).toEqual({
      attesters: [
        {
          namespace: 'x-snp',
          interface: 'auto',
          report_directory: '/sys/kernel/config/tsm/report',
          device: '/dev/sev-guest',
          timeout: 15_000,
          token_lifetime: 600_000,
        },
      ],
    });
  });

  it.each<[string, unknown, string]>([
    ['an unknown namespace', [{ namespace: 'x-none' }], 'attesters[0].namespace'],
    ['a namespace twice', [{ namespace: 'x-snp' }, { namespace: 'x-snp' }], 'attesters[1].namespace'],
    ['an unknown key', [{ namespace: 'x-snp', colour: 'red' }], 'attesters[0].colour'],
    ['a lifetime of zero', [{ namespace: 'x-snp', token_lifetime: '0s' }], 'attesters[0].token_lifetime'],
    [
      'a lifetime that is a number',
      [{ namespace: 'x-snp', token_lifetime: 10 }],
      'attesters[0].token_lifetime',
    ],
    ['a timeout without bound', [{ namespace: 'x-snp', timeout: '1h' }], 'attesters[0].timeout'],
    ['a VMPL that does not exist', [{ namespace: 'x-snp', privlevel: 4 }], 'attesters[0].privlevel'],
    ['a VMPL that is negative', [{ namespace: 'x-snp', privlevel: -1 }], 'attesters[0].privlevel'],
    ['an unknown interface', [{ namespace: 'x-snp', interface: 'tpm' }], 'attesters[0].interface'],
  ])('with %s is refused, and the path is named', (_name, attesters, path) => {
    expect(() => load(attesters)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', reasons: [expect.objectContaining({ path })] }),
    );
  });

  it('makes one attester per entry', () => {
    const configs = attestersConfigSchema.parse([{ namespace: 'x-snp' }]);
    expect(createAttesters(configs).map(({ namespace }) => namespace)).toEqual(['x-snp']);
  });
});
