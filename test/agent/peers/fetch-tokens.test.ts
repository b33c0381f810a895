import { fetchTokens } from '@muster/agent/peers/fetch-tokens.js';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentServiceClient } from '@muster/shared/gen/muster/v1/agent.js';
import { EventEmitter } from 'node:events';

/** A call of GetTokens whose answers a test gives. */
class FakeCall extends EventEmitter {
  cancelled = 0;

  cancel(): void {
    this.cancelled += 1;
  }
}

describe('the tokens that a site fetches', () => {
  let call: FakeCall;
  let calls: number;
  let client: AgentServiceClient;
  const never = new AbortController().signal;

  beforeEach(() => {
    call = new FakeCall();
    calls = 0;
    const getTokens = (): FakeCall => {
      calls += 1;
      return call;
    };
    client = { getTokens } as unknown as AgentServiceClient;
  });

  const answer = (participant: string, jws: string): void => {
    call.emit('data', { tokens: { participant, tokens: [{ jws }] } });
  };

  it('are those of the participants asked for, the first of each', async () => {
    const fetched = fetchTokens(client, ['site-1', 'site-2'], never);
    answer('site-1', 'a');
    answer('site-1', 'b');
    answer('site-3', 'c');
    call.emit('data', { tokens: undefined });
    call.emit('end');
    const found = await fetched;
    expect([...found].map(([name, { tokens }]) => [name, tokens[0]?.jws])).toEqual([['site-1', 'a']]);
  });

  it('are not asked for when it is too late', async () => {
    const reason = new Error('late');
    await expect(fetchTokens(client, ['site-1'], AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(calls).toBe(0);
  });

  it('are given up when time runs out', async () => {
    const controller = new AbortController();
    const fetched = fetchTokens(client, ['site-1'], controller.signal);
    controller.abort(new Error('late'));
    await expect(fetched).rejects.toThrow('late');
    expect(call.cancelled).toBe(1);
  });

  it('are none when the call fails, and the call is then left alone', async () => {
    const controller = new AbortController();
    const fetched = fetchTokens(client, ['site-1'], controller.signal);
    answer('site-1', 'a');
    call.emit('error', Object.assign(new Error('14 UNAVAILABLE'), { code: 14, details: '' }));
    await expect(fetched).rejects.toThrow();
    controller.abort();
    expect(call.cancelled).toBe(0);
  });
});
