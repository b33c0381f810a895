import { beforeEach, describe, expect, it } from '@jest/globals';
import { CommandQueue } from '@muster/server/commands/command-queue.js';
import type { CommandAction, CommandResult } from '@muster/server/ports.js';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { insertParticipant, selectParticipant } from '@muster/server/store/participants.js';
import type { Store } from '@muster/server/store/store.js';
import { reason } from '@muster/shared/reasons.js';
import { FakeClock } from '../../support/fake-clock.js';
import { silentLogger } from '../../support/logger.js';
import { memoryStore } from '../../support/store.js';

const stop = (jobId: string, generation = 1n): CommandAction => ({
  $case: 'stopJob',
  value: { jobId, generation, grace: undefined, reasons: [] },
});
const permit = (jobId: string, generation = 1n): CommandAction => ({
  $case: 'permitJob',
  value: { permit: { jobId, generation, permit: 'p' } },
});
const reattest: CommandAction = { $case: 'reattest', value: { namespaces: [] } };

describe('the durable commands', () => {
  let store: Store;
  let clock: FakeClock;
  let sent: { participant: string; seq: number; kind: string }[];
  let results: CommandResult[];
  let writable: boolean;
  let queue: CommandQueue;

  const newQueue = (): CommandQueue => {
    const fresh = new CommandQueue({
      store,
      clock,
      logger: silentLogger,
      outbox: {
        send(participant: string, message: Downstream) {
          if (!writable || message.$case !== 'command') return false;
          sent.push({ participant, seq: Number(message.value.seq), kind: message.value.action?.$case ?? '' });
          return true;
        },
      },
    });
    fresh.onResult(async (result) => void results.push(result));
    return fresh;
  };
  const enqueue = (participant: string, ...actions: CommandAction[]): Promise<void> =>
    store.transaction(async (tx) => {
      for (const action of actions) await queue.enqueue(tx, [participant], action);
    });
  const attach = async (participant = 'site-1', epoch = 0): Promise<void> => {
    await store.transaction((tx) => queue.attach(tx, participant, epoch));
    queue.flush([participant]);
  };
  const ack = (seq: number, outcome: CommandResult['outcome'], epoch = 0): Promise<void> =>
    queue.acknowledge('site-1', epoch, { seq, outcome, reasons: [] });
  const cursor = async (): Promise<[number, number] | undefined> => {
    const row = await store.transaction((tx) => selectParticipant(tx, 'site-1'));
    return row && [row.last_seq, row.finished_seq];
  };

  beforeEach(async () => {
    store = await memoryStore();
    clock = new FakeClock();
    sent = [];
    results = [];
    writable = true;
    queue = newQueue();
    await store.transaction(async (tx) => {
      for (const name of ['site-1', 'site-2'])
        await insertParticipant(tx, { name, role: 'site', invited_at: 0 });
    });
  });

  it('numbers the commands of each participant without gaps', async () => {
    await attach('site-1');
    await attach('site-2');
    await enqueue('site-1', reattest, reattest);
    await enqueue('site-2', reattest);
    queue.flush(['site-1', 'site-2']);
    expect(sent.map(({ participant, seq }) => `${participant} ${seq}`)).toEqual([
      'site-1 1',
      'site-1 2',
      'site-2 1',
    ]);
  });

  it('takes no number and sends nothing when the transaction is rolled back', async () => {
    await attach();
    const rolledBack = store.transaction(async (tx) => {
      await queue.enqueue(tx, ['site-1'], reattest);
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    await enqueue('site-1', stop('job-1'));
    queue.flush(['site-1']);
    expect(sent).toEqual([{ participant: 'site-1', seq: 1, kind: 'stopJob' }]);
  });

  it('refuses a command for a participant that does not exist', async () => {
    await expect(enqueue('nobody', reattest)).rejects.toMatchObject({ code: 'PARTICIPANT_UNKNOWN' });
  });

  it('sends what was enqueued while the participant was away', async () => {
    await enqueue('site-1', reattest);
    queue.flush(['site-1']);
    expect(sent).toEqual([]);
    await attach();
    expect(sent).toHaveLength(1);
  });

  it('sends again after 10 s and when the participant comes back, until it is done', async () => {
    await attach();
    await enqueue('site-1', stop('job-1'));
    queue.flush(['site-1']);
    await clock.advance(10_000);
    expect(sent.map(({ seq }) => seq)).toEqual([1, 1]);
    await ack(1, 'RECEIVED');
    await clock.advance(60_000);
    expect(sent).toHaveLength(2);
    queue.detach('site-1');
    await attach();
    expect(sent).toHaveLength(3);
    await ack(1, 'APPLIED');
    queue.detach('site-1');
    await attach();
    expect(sent).toHaveLength(3);
  });

  it('survives a crash between commit and send', async () => {
    await enqueue('site-1', stop('job-1'));
    queue = newQueue();
    await attach();
    expect(sent).toEqual([{ participant: 'site-1', seq: 1, kind: 'stopJob' }]);
  });

  it('tells each outcome once, in spite of duplicates', async () => {
    await attach();
    await enqueue('site-1', stop('job-1'));
    queue.flush(['site-1']);
    await Promise.all([ack(1, 'RECEIVED'), ack(1, 'RECEIVED'), ack(1, 'APPLIED'), ack(1, 'APPLIED')]);
    expect(results.map(({ outcome }) => outcome)).toEqual(['RECEIVED', 'APPLIED']);
    expect(results[1]?.action).toEqual(stop('job-1'));
  });

  it('moves the cursor over acknowledgements that come out of order', async () => {
    await attach();
    await enqueue('site-1', reattest, reattest, reattest);
    queue.flush(['site-1']);
    await ack(2, 'APPLIED');
    expect(await cursor()).toEqual([3, 0]);
    await ack(1, 'APPLIED');
    expect(await cursor()).toEqual([3, 2]);
  });

  it('moves on after a rejected command', async () => {
    await attach();
    await enqueue('site-1', reattest);
    queue.flush(['site-1']);
    const reasons = [reason('COMMAND_NOT_UNDERSTOOD')];
    await queue.acknowledge('site-1', 0, { seq: 1, outcome: 'REJECTED', reasons });
    expect(results).toMatchObject([{ outcome: 'REJECTED', reasons }]);
    expect(await cursor()).toEqual([1, 1]);
  });

  it('records nothing for a session that is not the newest', async () => {
    await attach('site-1', 7);
    await enqueue('site-1', reattest);
    queue.flush(['site-1']);
    await ack(1, 'APPLIED', 6);
    expect(results).toEqual([]);
    await ack(1, 'APPLIED', 7);
    expect(await cursor()).toEqual([1, 0]);
  });

  it('keeps a command whose outcome a listener could not handle, and sends it again', async () => {
    let failures = 1;
    queue.onResult(async () => {
      failures -= 1;
      if (failures === 0) throw new Error('the store is full');
    });
    await attach();
    await enqueue('site-1', reattest);
    queue.flush(['site-1']);
    await ack(1, 'APPLIED');
    expect(await cursor()).toEqual([1, 0]);
    queue.flush(['site-1']);
    expect(sent).toHaveLength(2);
    await ack(1, 'APPLIED');
    expect(await cursor()).toEqual([1, 1]);
  });

  it('drops a permit that a stop has overtaken', async () => {
    await enqueue('site-1', permit('job-1'), permit('job-1', 2n), permit('job-2'), stop('job-1'));
    await attach();
    expect(sent.map(({ seq, kind }) => `${seq} ${kind}`)).toEqual([
      '4 stopJob',
      '2 permitJob',
      '3 permitJob',
    ]);
  });

  it('asks no site that was away for a check whose deadline has passed', async () => {
    const deadline = new Date(clock.now().getTime() + 1000);
    const value = { jobId: 'job-1', generation: 1n, participants: [], deadline, dryRun: false };
    await enqueue('site-1', { $case: 'checkJob', value }, reattest);
    await clock.advance(1001);
    await attach();
    expect(sent.map(({ kind }) => kind)).toEqual(['reattest']);
    expect(await cursor()).toEqual([2, 1]);
  });

  it('keeps commands when the connection takes no more', async () => {
    await attach();
    writable = false;
    await enqueue('site-1', reattest);
    queue.flush(['site-1']);
    writable = true;
    queue.flush(['site-1']);
    expect(sent).toHaveLength(1);
  });
});
