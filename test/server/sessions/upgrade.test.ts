import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SiteJobState } from '@muster/shared/gen/muster/v1/agent.js';
import {
  createSessions,
  type AgentStream,
  type SessionFederation,
} from '../../support/session-federation.js';
import type { Presenter } from '../../support/tokens.js';
import { until } from '../../support/until.js';

/** What an agent of release 0.1, which knows nothing of later fields, writes: recorded frames. */
const recorded = {
  /** Hello: protocol 1 to 1, boot-1, job-1 runs with generation 2, namespace x-a, a nonce of 32 sevens, 0.1.0. */
  hello:
    '0a45080110011a06626f6f742d313a090a056a6f622d3110024203782d614a20' +
    '0707070707070707070707070707070707070707070707070707070707070707' +
    '5205302e312e30',
  /** Heartbeat 1. */
  heartbeat: '122408011a200101010101010101010101010101010101010101010101010101010101010101',
  /** Command 1 was applied. */
  applied: '220408011002',
  /** job-1, generation 2, runs. */
  running: '320b0a056a6f622d3110021802',
  /** Goodbye: shutdown. */
  goodbye: '3a020801',
} as const;
/** The kinds of messages that an agent of release 0.1 can read. */
const readable = new Set([
  'welcome',
  'heartbeatAck',
  'challenge',
  'verdict',
  'desiredState',
  'command',
  'drain',
]);

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
/** A field of length-delimited bytes; numbers from 16 on take two bytes (Protocol Buffers, Encoding). */
function field(number: number, value: Buffer): Buffer {
  const tag = (number << 3) | 2;
  return Buffer.concat([Buffer.from([(tag & 0x7f) | 0x80, tag >> 7, value.length]), value]);
}
/** The fields inside a frame whose length is one byte. */
const inside = (hex: string): Buffer => bytes(hex).subarray(2);
const hello = (fields: Buffer): Buffer => Buffer.concat([Buffer.from([0x0a, fields.length]), fields]);

let server: SessionFederation;
let site: Presenter;
beforeEach(async () => {
  server = await createSessions();
  site = await server.enroll('site-1');
});
afterEach(() => server.hub.stop());

async function say(...frames: Buffer[]): Promise<AgentStream> {
  const stream = server.stream(site);
  for (const frame of frames) stream.sayBytes(frame);
  await until(() => stream.first('welcome') !== undefined || stream.ended);
  return stream;
}

describe('an agent of release 0.1', () => {
  it('is served by this server, and told nothing that it cannot read', async () => {
    const stream = await say(bytes(recorded.hello));
    expect(stream.first('welcome')).toMatchObject({ protocol: 1, mode: 2 });
    expect(server.jobs.running).toEqual([['site-1', [{ jobId: 'job-1', generation: 2 }]]]);

    stream.sayBytes(bytes(recorded.heartbeat));
    await until(() => stream.first('heartbeatAck') !== undefined);
    const value = { jobId: 'job-1', generation: 2n, grace: undefined, reasons: [] };
    await server.store.transaction((tx) =>
      server.commands.enqueue(tx, ['site-1'], { $case: 'stopJob', value }),
    );
    server.commands.flush(['site-1']);
    await until(() => stream.first('command') !== undefined);
    stream.sayBytes(bytes(recorded.applied));
    stream.sayBytes(bytes(recorded.running));
    await until(() => server.results.length === 1 && server.jobs.reports.length === 1);
    expect(server.results).toMatchObject([{ seq: 1, outcome: 'APPLIED' }]);
    expect(server.jobs.reports).toMatchObject([['site-1', 'job-1', 2, 'RUNNING', 0, []]]);
    expect(SiteJobState.RUNNING).toBe(2);

    server.ca.bundleDigest = '11'.repeat(32);
    server.trust.push();
    server.hub.drain();
    await until(() => stream.first('drain') !== undefined);
    expect(stream.received.map(({ $case }) => $case).filter((kind) => !readable.has(kind))).toEqual([]);
    stream.sayBytes(bytes(recorded.goodbye));
    expect(await stream.end()).toBeUndefined();
  });
});

describe('an agent of a later release', () => {
  it('is served although its messages hold fields that this server does not know', async () => {
    const unknown = Buffer.concat([field(99, Buffer.from('new')), field(500, Buffer.alloc(40))]);
    const later = hello(Buffer.concat([inside(recorded.hello), unknown]));
    const stream = await say(Buffer.concat([later, field(77, Buffer.from('beside the message'))]));
    expect(stream.first('welcome')?.protocol).toBe(1);
    stream.sayBytes(Buffer.concat([bytes(recorded.heartbeat), field(78, Buffer.alloc(3))]));
    await until(() => stream.first('heartbeatAck') !== undefined);
  });

  it('gets the highest version that both speak', async () => {
    const upTo3 = hello(Buffer.concat([inside(recorded.hello), Buffer.from([0x10, 3])]));
    expect((await say(upTo3)).first('welcome')?.protocol).toBe(1);
  });

  it.each([
    ['later versions only', [0x08, 2, 0x10, 3], '2 to 3'],
    ['earlier versions only', [0x08, 0, 0x10, 0], '0 to 0'],
    ['no version', [0x08, 2, 0x10, 1], '2 to 1'],
  ])('that speaks %s is told so, with the remedy', async (_, versions, named) => {
    const stream = await say(hello(Buffer.concat([inside(recorded.hello), Buffer.from(versions)])));
    const error = await stream.end();
    expect(error).toMatchObject({ code: 'SESSION_VERSION', message: expect.stringContaining(named) });
    expect(error?.reasons[0].remedy).toBe('Upgrade servers first, then agents.');
  });

  it('that sends a kind of message that this server does not know is told so, and no other session suffers', async () => {
    const other = await server.open(await server.enroll('site-2'));
    const stream = await say(bytes(recorded.hello));
    stream.sayBytes(field(63, Buffer.from('news')));
    expect(await stream.end()).toMatchObject({
      code: 'SESSION_PROTOCOL',
      message: expect.stringContaining('no message that this server knows'),
    });
    await expect(other.beat(1)).resolves.toMatchObject({ seq: 1n });
    expect((await say(bytes(recorded.hello))).first('welcome')).toBeDefined();
  });
});
