import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LiveFederation } from '../../support/live/federation.js';
import { inState } from '../../support/live/views.js';
import { median, type Figure } from '../measure.js';
import type { Case } from './case.js';

const idleMs = 10_000;

/** Resident memory of the real programs with nothing to do: a server with three agents. */
export const processes: Case = async ({ quick }) => {
  const federation = await LiveFederation.start({ heartbeat: '1s', lease: '5s' });
  try {
    const sites = [];
    for (const name of ['site-1', 'site-2', 'site-3']) sites.push(await federation.addSite(name));
    for (const { name } of sites) await inState(federation, name, 'TRUSTED');
    await delay(quick ? idleMs / 2 : idleMs);
    const figures: readonly Figure[] = [
      {
        name: 'resident memory of an idle agent',
        unit: 'MiB',
        muster: median(sites.map(({ agent }) => residentMiB(agent.pid))),
        aim: { is: 'at most', value: 80, of: 'figure' },
      },
      {
        name: 'resident memory of a server with three agents',
        unit: 'MiB',
        muster: residentMiB(federation.server.pid),
      },
    ];
    return figures;
  } finally {
    await federation.close();
  }
};

function residentMiB(pid: number): number {
  const [, kib = ''] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
