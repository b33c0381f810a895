import { parseDuration } from '@muster/shared/config/duration.js';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { connect, type Connection } from './connection.js';
import { reportError } from './errors.js';
import { loadProfile, profileFile } from './profile.js';
import { styles, type Styles } from './render/text.js';
import type { ExitCode, Terminal } from './terminal.js';

/** What a command works with. */
export interface Context<O> {
  readonly terminal: Terminal;
  readonly options: O;
  readonly style: Styles;
  /** Prints an answer: the JSON for programs, or the text for people. */
  readonly print: (json: unknown, text: () => string) => void;
}

/** What a command that calls the server works with. */
export interface ServerContext<O> extends Context<O> {
  readonly server: Connection;
  readonly timeoutMs: number;
}

interface CommonOptions {
  readonly output: 'text' | 'json';
}

/** What {@link serverOptions} adds. */
export interface ServerOptions {
  readonly profile?: string;
  readonly timeout: number;
}

/** Registers a command that needs no server. Its answer decides the exit status. */
export function localCommand<O>(
  parent: Command,
  terminal: Terminal,
  usage: string,
  summary: string,
  run: (context: Context<O>, ...args: string[]) => Promise<ExitCode>,
): Command {
  return parent
    .command(usage)
    .description(summary)
    .addOption(outputOption())
    .action(async (...received: unknown[]) => {
      const command = received.at(-1) as Command;
      const options = command.optsWithGlobals<O & CommonOptions>();
      const json = options.output === 'json';
      const print = (value: unknown, text: () => string): void =>
        terminal.out(json ? `${JSON.stringify(value)}\n` : text());
      try {
        const style = styles(terminal.colour && !json);
        terminal.exit(await run({ terminal, options, style, print }, ...command.args));
      } catch (error) {
        terminal.exit(reportError(terminal, json, error));
      }
    });
}

/** Registers a command that calls the server of the profile, with a deadline on every call. */
export function serverCommand<O>(
  parent: Command,
  terminal: Terminal,
  usage: string,
  summary: string,
  run: (context: ServerContext<O>, ...args: string[]) => Promise<ExitCode>,
  timeout = '15s',
): Command {
  const command = localCommand<O & ServerOptions>(parent, terminal, usage, summary, (context, ...args) =>
    withServer(context, (connected) => run(connected, ...args)),
  );
  return serverOptions(command, timeout);
}

/** Adds the options that {@link withServer} reads. */
export function serverOptions(command: Command, timeout: string): Command {
  return command
    .addOption(profileOption())
    .addOption(
      new Option('--timeout <duration>', 'how long to wait for an answer')
        .argParser(durationArgument)
        .default(parseDuration(timeout), timeout),
    );
}

/** The profile, which may stand before the command as well. */
export function profileOption(): Option {
  return new Option('--profile <file>', 'the server and the credential to use (MUSTER_PROFILE)');
}

/** Connects to the server of the profile for as long as `run` takes. */
export async function withServer<O>(
  context: Context<O & ServerOptions>,
  run: (context: ServerContext<O>) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { profile, timeout } = context.options;
  const server = connect(loadProfile(profileFile(profile, context.terminal.env)));
  try {
    return await run({ ...context, server, timeoutMs: timeout });
  } finally {
    server.close();
  }
}

/** Reads an option's value such as `30s` as milliseconds. */
export function durationArgument(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('Expected a duration such as 30s or 1h.');
  return ms;
}

/** Reads an option's value as a whole number of at least 1. */
export function countArgument(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(text);
}

/** Collects the values of an option that may be repeated or hold a list with commas. */
export function listArgument(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, ...text.split(',').map((item) => item.trim())];
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'for people or for programs')
    .choices(['text', 'json'])
    .default('text');
}
