import { describe, expect, it } from '@jest/globals';
import type { Attester, CollectOptions } from '@muster/attester/attester.js';
import { withDeadline } from '@muster/attester/deadline.js';
import { refusal } from '@muster/shared/errors.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { FakeClock } from '../support/fake-clock.js';

const reportData = new Uint8Array(64);
const evidence: Evidence = { namespace: 'x-test', evidence: Uint8Array.of(1) };

/** The error that a promise ends with. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

/** An attester whose attempts a test ends itself. */
class Scripted implements Attester {
  readonly namespace = 'x-test';
  readonly attempts: {
    answer: (evidence: Evidence) => void;
    fail: (error: unknown) => void;
    signal: AbortSignal;
  }[] = [];

  collect(
    _reportData: Uint8Array,
    { signal = new AbortController().signal }: CollectOptions = {},
  ): Promise<Evidence> {
    return new Promise((answer, fail) => this.attempts.push({ answer, fail, signal }));
  }
}

function guarded(): { clock: FakeClock; device: Scripted; attester: Attester } {
  const clock = new FakeClock();
  const device = new Scripted();
  return { clock, device, attester: withDeadline(device, 1_000, clock) };
}

describe('a guarded device', () => {
  it('answers', async () => {
    const { clock, device, attester } = guarded();
    const collecting = attester.collect(reportData);
    await clock.waitForTimers(1);
    device.attempts[0]?.answer(evidence);
    expect(await collecting).toBe(evidence);
    expect(clock.timers).toBe(0);
  });

  it('makes one attempt at a time', async () => {
    const { clock, device, attester } = guarded();
    const both = [attester.collect(reportData), attester.collect(reportData)];
    await clock.waitForTimers(1);
    expect(device.attempts).toHaveLength(1);
    device.attempts[0]?.fail(new Error('broken'));
    await expect(both[0]).rejects.toMatchObject({ code: 'ATTESTATION_GENERATION_FAILED' });
    await clock.waitForTimers(1);
    expect(device.attempts).toHaveLength(2);
    device.attempts[1]?.answer(evidence);
    expect(await both[1]).toBe(evidence);
  });

  it('that is late is told to give up, and may be asked again once it has', async () => {
    const { clock, device, attester } = guarded();
    const collecting = attester.collect(reportData);
    const failed = failureOf(collecting);
    await clock.waitForTimers(1);
    const [first] = device.attempts;
    first?.signal.addEventListener('abort', () => first.fail(first.signal.reason));
    await clock.advance(1_000);
    expect(await failed).toMatchObject({
      code: 'ATTESTATION_DEVICE_TIMEOUT',
      reasons: [{ namespace: 'x-test' }],
    });
    const again = attester.collect(reportData);
    await clock.waitForTimers(1);
    device.attempts[1]?.answer(evidence);
    expect(await again).toBe(evidence);
  });

  it('that hangs gets no further attempt until it returns', async () => {
    const { clock, device, attester } = guarded();
    const first = failureOf(attester.collect(reportData));
    const waiting = failureOf(attester.collect(reportData));
    await clock.waitForTimers(1);
    await clock.advance(2_000);
    expect(await first).toMatchObject({ code: 'ATTESTATION_DEVICE_TIMEOUT' });
    expect(await waiting).toMatchObject({ message: expect.stringMatching(/still hangs/) });
    await expect(attester.collect(reportData)).rejects.toMatchObject({
      message: expect.stringMatching(/still hangs/),
    });
    expect(device.attempts).toHaveLength(1);
    device.attempts[0]?.answer(evidence);
    await clock.advance(0);
    const again = attester.collect(reportData);
    await clock.waitForTimers(1);
    device.attempts[1]?.answer(evidence);
    expect(await again).toBe(evidence);
  });

  it('keeps the reasons of its attester', async () => {
    const { clock, device, attester } = guarded();
    const collecting = attester.collect(reportData);
    await clock.waitForTimers(1);
    const error = refusal('ATTESTATION_GENERATION_FAILED', { namespace: 'x-test', message: 'why' });
    device.attempts[0]?.fail(error);
    await expect(collecting).rejects.toBe(error);
  });

  it('is not asked by a caller who has given up', async () => {
    const { device, attester } = guarded();
    const reason = new Error('enough');
    await expect(attester.collect(reportData, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(device.attempts).toHaveLength(0);
  });
});
