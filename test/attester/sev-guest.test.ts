import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { collectFromSevGuest } from '@muster/attester/x-snp/sev-guest.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { systemClock, type Clock } from '@muster/shared/clock.js';
import { FakeClock } from '../support/fake-clock.js';
import { eventually } from '../support/eventually.js';
import { compileForTests } from '../support/stand-in.js';

const reportData = Uint8Array.from({ length: 64 }, (_, index) => 255 - index);
const never = new AbortController().signal;
const { EINVAL, ENOTTY, EACCES, EAGAIN, EIO, EPERM } = constants.errno;

const directory = mkdtempSync(join(tmpdir(), 'muster-sev-'));
const device = join(directory, 'sev-guest');
const library = join(directory, 'stand-in.so');
afterAll(() => rmSync(directory, { recursive: true }));

(compileForTests('snp/sev-guest.c', library) ? describe : describe.skip)('the guest device', () => {
  interface Script {
    readonly mode?: string;
    readonly errno?: number;
    readonly table?: number;
  }
  const script = ({ mode = 'ok', errno = 0, table = 0 }: Script): void =>
    writeFileSync(device, `${mode} ${errno} ${table}\n`);
  const collect = (how: Script = {}, vmpl?: number, clock: Clock = systemClock): Promise<Evidence> => {
    script(how);
    return collectFromSevGuest({ path: device, library, vmpl, clock }, reportData, never);
  };

  it('gives a report for the request and the VMPL asked for', async () => {
    const { evidence, auxiliary } = await collect({}, 2);
    expect(evidence).toHaveLength(1184);
    expect(evidence.subarray(0x50, 0x90)).toEqual(reportData);
    expect(evidence[0x30]).toBe(2);
    expect(auxiliary).toBeUndefined();
  });

  it('gives the certificate table without the rest of its buffer', async () => {
    const { auxiliary } = await collect({ table: 3000 });
    expect(auxiliary).toHaveLength(3000);
  });

  it('gives a certificate table that is larger than expected', async () => {
    const { auxiliary } = await collect({ table: 20_000 });
    expect(auxiliary).toHaveLength(20_000);
  });

  it('gives a report alone where it knows no extended requests', async () => {
    const { evidence, auxiliary } = await collect({ mode: 'plain' });
    expect(evidence.subarray(0x50, 0x90)).toEqual(reportData);
    expect(auxiliary).toBeUndefined();
  });

  it('is asked again when it is busy', async () => {
    expect((await collect({ mode: 'busy' })).evidence).toHaveLength(1184);
  });

  it('that stays busy is given up', async () => {
    const clock = new FakeClock();
    let over = false;
    const failure = collect({ mode: 'always-busy' }, undefined, clock)
      .catch((error: unknown) => error)
      .finally(() => (over = true));
    await eventually(async () => {
      await clock.advance(20_000);
      return over;
    }, 'an end');
    expect(await failure).toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(/busy in each of 8 attempts/),
    });
  });

  it.each<[string, Script, RegExp]>([
    [
      'a firmware error',
      { mode: 'firmware' },
      /the firmware or the host refused the request \(EIO\), firmware error 0x17/,
    ],
    ['a report that the firmware denies', { mode: 'status' }, /status 0x16/],
    ['a report of another size', { mode: 'size' }, /1000 bytes/],
    ['a certificate table beyond all measure', { table: 1_000_000 }, /wants 1003520 bytes/],
    ['a certificate table without end', { mode: 'table', table: 4096 }, /no end/],
    ['EINVAL', { errno: EINVAL }, /refuses the request \(EINVAL\)/],
    ['ENOTTY', { errno: ENOTTY }, /not an SEV-SNP guest device \(ENOTTY\)/],
    ['EACCES', { errno: EACCES }, /may not use it \(EACCES\)/],
    ['EPERM', { errno: EPERM }, /may not use it \(EPERM\)/],
    ['EIO', { errno: EIO }, /host refused the request \(EIO\)/],
  ])('with %s gives no evidence', async (_name, how, message) => {
    await expect(collect(how)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(message),
      reasons: [{ namespace: 'x-snp' }],
    });
  });

  it('is left in peace once the caller has given up', async () => {
    script({ errno: EAGAIN });
    const given = new AbortController();
    const reason = new Error('enough');
    const collecting = collectFromSevGuest(
      { path: device, library, clock: systemClock },
      reportData,
      given.signal,
    );
    given.abort(reason);
    await expect(collecting).rejects.toBe(reason);
  });

  it('that does not exist is refused', async () => {
    const missing = { path: join(directory, 'none'), library, clock: systemClock };
    await expect(collectFromSevGuest(missing, reportData, never)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(/does not exist; load the driver sev-guest \(ENOENT\)/),
    });
  });

  it('without a library to reach it through is refused', async () => {
    script({});
    const unbound = { path: device, library: '/none.so', clock: systemClock };
    await expect(collectFromSevGuest(unbound, reportData, never)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
    });
  });

  it('that is an ordinary file is no guest device to the real ioctl', async () => {
    script({});
    const ordinary = { path: device, clock: systemClock };
    await expect(collectFromSevGuest(ordinary, reportData, never)).rejects.toMatchObject({
      message: expect.stringMatching(/\(ENOTTY\)/),
    });
  });
});
