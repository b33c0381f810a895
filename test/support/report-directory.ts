import { readdirSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files of a report directory, by name. */
export type Attributes = Readonly<Record<string, string | Uint8Array>>;

/** A report directory of configfs-tsm that is served by hand. */
export interface ServedDirectory {
  /** How many directories were made in it. */
  made(): number;
  close(): void;
}

/** Puts attributes into every directory that is made, each in one step; `attributes` gets the number of the directory. */
export function serveReports(directory: string, attributes: (made: number) => Attributes): ServedDirectory {
  const seen = new Set<string>();
  const watcher = watch(directory, () => {
    for (const name of readdirSync(directory)) {
      if (seen.has(name)) continue;
      seen.add(name);
      for (const [file, content] of Object.entries(attributes(seen.size))) {
        const target = join(directory, name, file);
        writeFileSync(`${target}.new`, content);
        renameSync(`${target}.new`, target);
      }
    }
  });
  return { made: () => seen.size, close: () => watcher.close() };
}
