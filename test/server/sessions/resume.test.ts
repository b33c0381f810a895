import { describe, expect, it } from '@jest/globals';
import { CloneWatch } from '@muster/server/sessions/clone-watch.js';
import { decideResumption } from '@muster/server/sessions/resume.js';

const remembered = { epoch: 4, bootId: 'boot-1', lastSeq: 9, knowsLatest: true };
const hello = { bootId: 'boot-1', lastEpoch: 4n, logId: 'log-1', appliedSeq: 7n };

describe('how a session resumes', () => {
  it.each([
    ['the same process and log', {}, { epoch: 5, mode: 'REPLAY', renameLog: false }],
    ['another process', { bootId: 'boot-2' }, { epoch: 5, mode: 'SNAPSHOT', renameLog: false }],
    ['another log', { logId: 'log-0', appliedSeq: 70n }, { epoch: 5, mode: 'SNAPSHOT', renameLog: false }],
    ['no log yet', { logId: '', appliedSeq: 0n }, { epoch: 5, mode: 'SNAPSHOT', renameLog: false }],
    ['a cursor ahead of the store', { appliedSeq: 10n }, { epoch: 5, mode: 'SNAPSHOT', renameLog: true }],
    ['an epoch ahead of the store', { lastEpoch: 8n }, { epoch: 9, mode: 'REPLAY', renameLog: false }],
  ])('with %s', (_title, change, expected) => {
    expect(decideResumption({ ...hello, ...change }, remembered, 'log-1')).toEqual(expected);
  });

  it.each([
    ['its log', {}, { epoch: 5, mode: 'SNAPSHOT', renameLog: true }],
    ['another log', { logId: 'log-0' }, { epoch: 5, mode: 'SNAPSHOT', renameLog: false }],
  ])('with a command of %s that the store does not hold', (_title, change, expected) => {
    const restored = { ...remembered, knowsLatest: false };
    expect(decideResumption({ ...hello, ...change }, restored, 'log-1')).toEqual(expected);
  });
});

describe('a cloned virtual machine', () => {
  it('is not seen in restarts and reconnects', () => {
    const watch = new CloneWatch();
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 0n })).toBe(false);
    watch.uses('site-1', 1);
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 1n })).toBe(false);
    expect(watch.greets('site-1', { bootId: 'b', lastEpoch: 0n })).toBe(false);
    watch.uses('site-1', 3);
    expect(watch.greets('site-1', { bootId: 'c', lastEpoch: 0n })).toBe(false);
  });

  it('is seen when a process that was replaced comes back', () => {
    const watch = new CloneWatch();
    for (const bootId of ['a', 'b']) watch.greets('site-1', { bootId, lastEpoch: 0n });
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 1n })).toBe(true);
  });

  it('is seen when a process does not know an epoch that its twin has used', () => {
    const watch = new CloneWatch();
    watch.greets('site-1', { bootId: 'a', lastEpoch: 0n });
    watch.uses('site-1', 1);
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 1n })).toBe(false);
    watch.uses('site-1', 2);
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 1n })).toBe(true);
  });

  it('is not seen when a Welcome was lost', () => {
    const watch = new CloneWatch();
    watch.greets('site-1', { bootId: 'a', lastEpoch: 0n });
    expect(watch.greets('site-1', { bootId: 'a', lastEpoch: 0n })).toBe(false);
  });
});
