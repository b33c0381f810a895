import type { CheckJob } from '@muster/shared/gen/muster/v1/agent.js';
import type { FakeMusterServer } from './fake-muster-server.js';
import { digestsOf, participantTokens, type Site } from './site.js';
import type { Action } from './use-sites.js';

/** Lets the server hand out tokens of the server and of sites, and asks the site for its judgement. */
export async function checkJob(
  server: FakeMusterServer,
  site: Site,
  changes: Partial<CheckJob> = {},
  tokens: Parameters<typeof participantTokens>[2] = {},
): Promise<Action> {
  const { key } = server.identity;
  const all = [
    await participantTokens('server', true, { key }),
    await participantTokens('site-1', false),
    await participantTokens('site-2', false, tokens),
  ];
  server.answers.getTokens = ({ participants }) =>
    all.filter(({ participant }) => participants.includes(participant));
  return {
    $case: 'checkJob',
    value: {
      jobId: 'job-1',
      generation: 1n,
      participants: all.map(digestsOf),
      deadline: new Date(site.clock.now().getTime() + 30_000),
      dryRun: false,
      ...changes,
    },
  };
}
