import { describe, expect, it } from '@jest/globals';
import { decideResponse } from '@muster/server/responses/decide.js';
import { presets } from '@muster/shared/policy/responses.js';

const table = presets.SHUTDOWN_JOB;

function answer(...args: Parameters<typeof decideResponse>): string[] {
  return decideResponse(...args).map(({ type }) => type);
}

describe('the graded response', () => {
  it.each([
    ['evidence_rejected', ['record', 'quarantine', 'stop_jobs']],
    ['token_expired', ['record', 'stop_jobs']],
    ['silent', ['record', 'stop_jobs']],
    ['attester_failed', ['record']],
    ['admission_refused', ['record', 'quarantine', 'stop_own_part']],
  ] as const)('of SHUTDOWN_JOB to %s', (kind, expected) => {
    expect(answer(table, { kind, server: false, inEffect: false })).toEqual(expected);
  });

  it('of SHUTDOWN_SYSTEM shuts down', () => {
    const facts = { kind: 'silent', server: false, inEffect: false } as const;
    expect(answer(presets.SHUTDOWN_SYSTEM, facts)).toEqual(['record', 'shutdown_system']);
  });

  it('is given once while the failure is in effect', () => {
    expect(answer(table, { kind: 'silent', server: false, inEffect: true })).toEqual([]);
  });

  it('ends every job when it would bar the server', () => {
    const barring = { ...table, server_unproven: ['quarantine'] as const };
    const facts = { kind: 'server_unproven', server: true, inEffect: false } as const;
    expect(answer(barring, facts)).toEqual(['record', 'stop_jobs']);
  });
});
