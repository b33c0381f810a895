import { describe, expect, it } from '@jest/globals';
import { Metadata, status } from '@grpc/grpc-js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { fromReasonMessage, toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { fromServiceError, toStatus } from '@muster/shared/grpc/status.js';
import { reason } from '@muster/shared/reasons.js';

const transported = (error: unknown): MusterError =>
  fromServiceError(Object.assign(new Error('call failed'), toStatus(error)));

describe('errors on the wire', () => {
  it('carries every reason with its particulars, and the delay', () => {
    const reasons = [
      reason('ATTESTATION_MISSING', { participant: 'site-2', namespace: 'x-snp' }),
      reason('ARGUMENT_INVALID', { path: 'participants[2]', message: 'Too long.' }),
    ] as const;
    const received = transported(new MusterError(reasons, { retryAfterMs: 1500 }));
    expect(received.reasons).toEqual(reasons);
    expect(received.retryAfterMs).toBe(1500);
  });

  it('takes the gRPC status from the primary reason', () => {
    expect(toStatus(refusal('JOB_UNKNOWN')).code).toBe(status.NOT_FOUND);
    expect(toStatus(refusal('RATE_LIMITED')).code).toBe(status.RESOURCE_EXHAUSTED);
  });

  it('tells nothing of an unexpected error', () => {
    const sent = toStatus(new Error('the password is hunter2'));
    expect(sent.code).toBe(status.INTERNAL);
    expect(JSON.stringify([sent.details, sent.metadata?.toJSON()])).not.toContain('hunter2');
  });

  it('keeps trailers small however many reasons there are', () => {
    const many = Array.from({ length: 100 }, (_, index) =>
      reason('ATTESTATION_MISSING', { participant: `site-${index}` }),
    );
    const received = transported(new MusterError([reason('INTERNAL'), ...many]));
    expect(received.reasons).toHaveLength(8);
  });

  it.each([
    [status.UNAVAILABLE, 'SERVER_UNREACHABLE'],
    [status.DEADLINE_EXCEEDED, 'SERVER_UNREACHABLE'],
    [status.UNKNOWN, 'INTERNAL'],
  ])('turns a bare status %p into %s', (code, expected) => {
    const bare = Object.assign(new Error('x'), { code, details: 'x', metadata: new Metadata() });
    expect(fromServiceError(bare).code).toBe(expected);
  });

  it('survives details that are garbage', () => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    expect(
      fromServiceError(Object.assign(new Error('x'), { code: status.UNKNOWN, details: 'x', metadata })).code,
    ).toBe('INTERNAL');
  });
});

describe('reasons in messages', () => {
  it('come back as they were', () => {
    const sent = reason('JOB_BYOC', { participant: 'site-1', path: 'spec.byoc' });
    expect(fromReasonMessage(toReasonMessage(sent))).toEqual(sent);
  });

  it('keep their sentences when the code is of a newer release', () => {
    const sent = { ...toReasonMessage(reason('JOB_BYOC')), code: 'FROM_THE_FUTURE', message: 'New.' };
    expect(fromReasonMessage(sent)).toMatchObject({ code: 'INTERNAL', message: 'New.' });
  });
});
