import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this checkout. */
export const root = ((): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'proto', 'buf.yaml'))) folder = dirname(folder);
  return folder;
})();

/** The programs as they are shipped; `make build` makes what they need. */
export const programs = {
  server: join(root, 'packages/server/bin/muster-server.js'),
  agent: join(root, 'packages/agent/bin/muster-agent.js'),
  snpDevice: join(root, 'test/dist/devices/snp/main.js'),
} as const;

/** Ports of the loopback address that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const listeners = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    listeners.map(
      (listener) =>
        new Promise<number>((resolve, reject) => {
          listener.once('error', reject);
          listener.listen(0, '127.0.0.1', () => resolve((listener.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}
