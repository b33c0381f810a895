import { createHash } from 'node:crypto';
import { SimulatedChip } from '../devices/snp/chip.js';
import { writeState } from '../devices/snp/state.js';
import { join } from 'node:path';
import type { BenchFederation } from './federation.js';
import type { MusterOptions } from './hosts/muster.js';
import { pooled } from './measure.js';
import { collectNothing, collectSnp, SimulatedSite } from './site.js';
import { startWorker, type Worker } from './worker.js';

/** How many chips the sites of a federation share. */
const chips = 64;
const connecting = 32;

/** A server under test with the sites that have sessions with it. */
export interface Fleet {
  readonly server: Worker;
  readonly sites: readonly SimulatedSite[];
  readonly options: MusterOptions;
  close(): Promise<void>;
}

/** What a fleet is made of. */
export interface FleetOptions {
  readonly namespace: MusterOptions['namespace'];
  readonly size: number;
  /** Where the store is; by default on the disk. */
  readonly storage?: string;
}

/** Starts a server and opens the sessions of so many sites, each proven once. */
export async function openFleet(
  federation: BenchFederation,
  { namespace, size, storage }: FleetOptions,
): Promise<Fleet> {
  const { server, options } = await startServer(federation, namespace, storage);
  const sites = await openSites(federation, options.port, namespace, size);
  return {
    server,
    sites,
    options,
    async close() {
      for (const site of sites) site.close();
      await server.kill();
    },
  };
}

/** Starts a server that nobody is connected to. */
export async function startServer(
  federation: BenchFederation,
  namespace: MusterOptions['namespace'],
  storage?: string,
): Promise<{ readonly server: Worker; readonly options: MusterOptions }> {
  const server = startWorker('muster');
  const options: MusterOptions = {
    dataDirectory: federation.dataDirectory(storage),
    namespace,
    endorsements: federation.vendor.endorsements,
    simulatedRoot: federation.vendor.rootFingerprint,
    port: 0,
  };
  const port = await server.ask<number>('start', options);
  return { server, options: { ...options, port } };
}

/** Opens the sessions of so many sites, each proven once. */
export async function openSites(
  federation: BenchFederation,
  port: number,
  namespace: MusterOptions['namespace'],
  size: number,
): Promise<readonly SimulatedSite[]> {
  const chip = new SimulatedChip(federation.vendor);
  const sites = federation.sites.slice(0, size).map((member, index) => {
    if (namespace === 'x-a') return new SimulatedSite(member, port, collectNothing);
    const stateFile = join(federation.vendor.directory, `chip-${index % chips}.json`);
    writeState(stateFile, {
      chipId: createHash('sha512')
        .update(String(index % chips))
        .digest('hex'),
    });
    return new SimulatedSite(member, port, collectSnp(chip, stateFile));
  });
  await pooled(sites, connecting, async (site) => {
    await site.open();
    await site.proven();
  });
  return sites;
}
