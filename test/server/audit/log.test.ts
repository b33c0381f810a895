import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { auditLog } from '@muster/server/audit/log.js';
import type { AuditEntry } from '@muster/server/ports.js';
import { listAuditRecords } from '@muster/server/store/audit.js';
import type { Store } from '@muster/server/store/store.js';
import { canonicalJson } from '@muster/shared/audit/canonical-json.js';
import { chainHash, verifyChain, type ChainedRecord } from '@muster/shared/audit/chain.js';
import { reason } from '@muster/shared/reasons.js';
import fc from 'fast-check';
import { FakeClock } from '../../support/fake-clock.js';
import { memoryStore } from '../../support/store.js';

const clock = new FakeClock(new Date('2026-11-01T10:00:00Z'));
const audit = auditLog(clock);
const entry: AuditEntry = {
  actor: 'spiffe://federation.example/operator/olga',
  action: 'participant.quarantine',
  subject: 'site-1',
  decision: 'done',
  reasons: [reason('OPERATOR_QUARANTINE', { participant: 'site-1' })],
  comment: 'maintenance',
};
let store: Store;

beforeEach(async () => {
  store = await memoryStore();
});
afterEach(() => store.close());

async function records(fromSeq = 1): Promise<ChainedRecord[]> {
  const rows = await store.transaction((tx) => listAuditRecords(tx, fromSeq, 100));
  return rows.map(({ previous_hash: previousHash, ...row }) => ({ ...row, previousHash }));
}

async function append(count: number): Promise<ChainedRecord[]> {
  for (let n = 0; n < count; n += 1) {
    await store.transaction((tx) => audit.append(tx, { ...entry, subject: `site-${n}` }));
  }
  return records();
}

describe('the audit log', () => {
  it('keeps what was decided, when, by whom and why', async () => {
    const [record] = await append(1);
    expect(JSON.parse(record?.content ?? '')).toEqual({
      seq: 1,
      at: '2026-11-01T10:00:00.000Z',
      actor: entry.actor,
      action: entry.action,
      subject: 'site-0',
      decision: 'done',
      comment: 'maintenance',
      reasons: [
        {
          code: 'OPERATOR_QUARANTINE',
          message: 'An operator quarantined the participant.',
          participant: 'site-1',
        },
      ],
    });
  });

  it('numbers records without gaps and forgets those of a decision that was rolled back', async () => {
    await append(2);
    const lost = store.transaction(async (tx) => {
      await audit.append(tx, entry);
      throw new Error('rolled back');
    });
    await expect(lost).rejects.toThrow('rolled back');
    await append(1);
    expect((await records()).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(verifyChain(await records())).toMatchObject({ intact: true, head: { seq: 3 } });
  });

  it('is read and verified from any record on', async () => {
    await append(4);
    const [, second] = await records();
    const part = await records(3);
    expect(verifyChain(part, { seq: 2, hash: second?.hash ?? '' })).toMatchObject({ intact: true });
    expect(verifyChain(part)).toMatchObject({ intact: false, seq: 1 });
  });
});

describe('a log is found broken', () => {
  it('when any record was changed, removed, repeated or moved', async () => {
    const log = await append(5);
    fc.assert(
      fc.property(fc.nat(4), fc.constantFrom('change', 'remove', 'repeat', 'swap'), (index, tampering) => {
        const at = log[index] as ChainedRecord;
        const forged = [...log];
        if (tampering === 'change') forged[index] = { ...at, content: at.content.replace('done', 'seen') };
        if (tampering === 'remove') forged.splice(index, 1);
        if (tampering === 'repeat') forged.splice(index, 0, at);
        if (tampering === 'swap') forged.splice(index, 2, ...forged.slice(index, index + 2).toReversed());
        const check = verifyChain(forged);
        const untouched = (tampering === 'remove' || tampering === 'swap') && index === 4;
        expect(check.intact).toBe(untouched);
      }),
    );
  });

  it('when a record was changed and its hash made to fit', async () => {
    const log = await append(3);
    const [first, second, third] = log as [ChainedRecord, ChainedRecord, ChainedRecord];
    const content = second.content.replace('done', 'seen');
    const forged = { ...second, content, hash: chainHash(first.hash, content) };
    expect(verifyChain([first, forged, third])).toEqual({
      intact: false,
      seq: 3,
      problem: 'record 3 does not follow the record before it',
    });
  });

  it('when a record carries another number in its content, or no JSON', () => {
    for (const content of ['{"seq":2}', '{}', 'null', 'x']) {
      const hash = chainHash('0'.repeat(64), content);
      expect(verifyChain([{ seq: 1, content, hash, previousHash: '0'.repeat(64) }])).toMatchObject({
        seq: 1,
      });
    }
  });
});

describe('canonical JSON', () => {
  it('is the form of RFC 8785', () => {
    expect(canonicalJson({ b: [1, true, null, 'é'], '€': 1e21, a: {}, '\r': '\n' })).toBe(
      '{"\\r":"\\n","a":{},"b":[1,true,null,"é"],"€":1e+21}',
    );
  });
});
