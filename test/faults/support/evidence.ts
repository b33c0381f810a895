import Database from 'libsql';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface CommandRow {
  readonly participant: string;
  readonly seq: number;
  readonly kind: string;
  readonly job_id: string | null;
  readonly outcome: string | null;
}

interface ParticipantRow {
  readonly name: string;
  readonly last_seq: number;
}

/** What is wrong with the commands in a server's store: lost numbers, and such as are still unfinished. */
export function commandViolations(dataDirectory: string): string[] {
  const database = new Database(join(dataDirectory, 'muster.db'), { readonly: true });
  try {
    const commands = database
      .prepare('select participant, seq, kind, job_id, outcome from commands order by participant, seq')
      .all() as CommandRow[];
    const participants = database
      .prepare('select name, last_seq from participants')
      .all() as ParticipantRow[];
    return participants.flatMap(({ name, last_seq }) => {
      const own = commands.filter(({ participant }) => participant === name);
      const missing = Array.from({ length: last_seq }, (_, index) => index + 1).filter(
        (seq) => !own.some((command) => command.seq === seq),
      );
      const unfinished = own.filter(({ outcome }) => outcome === null);
      return [
        ...missing.map((seq) => `${name} lost command ${seq}`),
        ...unfinished.map(({ seq, kind, job_id }) => `${name} never finished ${kind} ${seq} of ${job_id}`),
      ];
    });
  } finally {
    database.close();
  }
}

/** A line of a program's log. */
export interface LogLine {
  readonly event: string;
  readonly participant?: string;
  readonly epoch?: number;
  readonly seq?: number;
  readonly kind?: string;
  readonly outcome?: string;
}

/** The lines of a log in JSON. */
export function logLines(output: string): LogLine[] {
  return output.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return [];
    try {
      return [JSON.parse(line) as LogLine];
    } catch {
      return [];
    }
  });
}

/** What is wrong with the sessions in a server's logs, over all its processes: epochs that were given twice or came back. */
export function epochViolations(output: string): string[] {
  const latest = new Map<string, number>();
  return logLines(output).flatMap(({ event, participant = '', epoch = 0 }) => {
    if (event !== 'session.opened' || participant === '') return [];
    const before = latest.get(participant) ?? 0;
    latest.set(participant, epoch);
    return epoch > before ? [] : [`${participant} got epoch ${epoch} after ${before}`];
  });
}

/** Which outcomes of commands took effect twice in a server's logs. */
export function repeatedOutcomes(output: string): string[] {
  const seen = new Set<string>();
  return logLines(output).flatMap(({ event, participant, seq, kind, outcome }) => {
    if (event !== 'command.acknowledged' || outcome === 'RECEIVED') return [];
    const key = `${kind} ${seq} of ${participant}: ${outcome}`;
    if (!seen.has(key)) return seen.add(key) && [];
    return [`${key} took effect twice`];
  });
}

/** The generations that a job's command was started with at a site, in order. */
export function startsOf(file: string): readonly string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}
