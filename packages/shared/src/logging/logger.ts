import { createLogger as createWinston, format, transports } from 'winston';
import type { LogEvent } from './events.js';

/** The values of a log line. Digests, names and reasons; never a token, a key or a join token. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the code logs through: an event of the closed list and its fields. */
export interface Logger {
  debug(event: LogEvent, fields?: LogFields): void;
  info(event: LogEvent, fields?: LogFields): void;
  warn(event: LogEvent, fields?: LogFields): void;
  error(event: LogEvent, fields?: LogFields): void;
}

/** The part `log` of a configuration. */
export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'text';
}

const secretShaped = /eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** The last line of defence: a value that looks like a token or a key does not reach the log. */
const redact = format((info) => {
  for (const [key, value] of Object.entries(info)) {
    if (typeof value === 'string' && secretShaped.test(value)) info[key] = '[redacted]';
  }
  return info;
});

/** Writes one JSON object (or one readable line) per event to standard error. */
export function createLogger(component: string, options: LogOptions): Logger {
  const line = format.printf(
    ({ timestamp, level, event, component: _component, message: _message, ...fields }) =>
      `${String(timestamp)} ${level.padEnd(5)} ${String(event)} ${JSON.stringify(fields)}`,
  );
  const winston = createWinston({
    level: options.level,
    defaultMeta: { component },
    format: format.combine(redact(), format.timestamp(), options.format === 'json' ? format.json() : line),
    transports: [new transports.Console({ stderrLevels: ['debug', 'info', 'warn', 'error'] })],
  });
  const write = (level: LogOptions['level']): Logger['info'] => {
    // Winston would format a line before its transport leaves it out.
    if (!winston.isLevelEnabled(level)) return () => undefined;
    return (event, fields = {}) => {
      winston.log({ level, message: event, event, ...fields });
    };
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** The fields of an error: its code, its message and that of its cause; never a stack of a refusal. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: String(error) };
  const { message, cause, name } = error;
  const code = (error as { code?: unknown }).code;
  return {
    error: message,
    ...(code !== undefined && { code }),
    ...(cause instanceof Error && { cause: cause.message }),
    ...(name !== 'MusterError' && { stack: error.stack }),
  };
}
