import { afterEach, beforeEach } from '@jest/globals';
import { CommandOutcome, type Command } from '@muster/shared/gen/muster/v1/agent.js';
import { FakeMusterServer, type FakeSession } from './fake-muster-server.js';
import { Site, type SiteOptions } from './site.js';

/** What a command asks for. */
export type Action = NonNullable<Command['action']>;

/** A fake server and its sites, new for each test. */
export interface Sites {
  server: FakeMusterServer;
  start(options?: SiteOptions): Promise<Site>;
  /** Starts a site and opens its session. */
  open(options?: SiteOptions): Promise<{ readonly site: Site; readonly stream: FakeSession }>;
}

/** Gives each test of a file a server and sites, and ends them after it. */
export function useSites(): Sites {
  const started: Site[] = [];
  const sites: Sites = {
    server: undefined as never,
    async start(options = {}) {
      const site = await Site.start(sites.server, options);
      started.push(site);
      return site;
    },
    async open(options) {
      const site = await sites.start(options);
      return { site, stream: await site.open() };
    },
  };
  beforeEach(async () => {
    sites.server = await FakeMusterServer.start();
  });
  afterEach(async () => {
    for (const site of started.splice(0)) await site.stop();
    sites.server.stop();
  });
  return sites;
}

/** Sends a command; one without an action is of a kind that no agent knows. */
export function sendCommand(stream: FakeSession, seq: bigint, action: Action | undefined): void {
  stream.send({ $case: 'command', value: { seq, id: `command-${seq}`, action } });
}

/** How a command ended: the outcome, and the codes of its reasons. */
export async function outcomeOf(stream: FakeSession, seq: bigint): Promise<[CommandOutcome, ...string[]]> {
  for (;;) {
    const ack = await stream.next('commandAck');
    if (ack.seq !== seq || ack.outcome === CommandOutcome.RECEIVED) continue;
    return [ack.outcome, ...ack.reasons.map(({ code }) => code)];
  }
}

/** The action that stops a job. */
export function stopJob(jobId: string, generation = 1n): Action {
  return { $case: 'stopJob', value: { jobId, generation, grace: undefined, reasons: [] } };
}
