import { MusterError, refusal } from '@muster/shared/errors.js';
import { parseSpiffeId } from '@muster/shared/spiffe.js';
import { verifyPermit, type Permit } from '@muster/shared/tokens/permit.js';
import { type Command, InvalidArgumentError } from 'commander';
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet } from 'jose';
import { localCommand } from '../command.js';
import { reportError } from '../errors.js';
import { readText } from '../files.js';
import { pairs, time, type Styles } from '../render/text.js';
import { exitCodes, type Terminal } from '../terminal.js';

interface VerifyOptions {
  readonly keys: string;
  readonly trustDomain?: string;
  readonly at?: Date;
  readonly output: 'text' | 'json';
}

/** `muster permit verify` */
export function registerPermitCommands(program: Command, terminal: Terminal): void {
  const group = program.command('permit').description('permits, the signed admissions of jobs');
  localCommand<VerifyOptions>(
    group,
    terminal,
    'verify [file]',
    'verify a permit offline; from standard input without a file',
    async ({ options, print, style }, file) => {
      const jwt = (file === undefined ? await terminal.input() : readText(file)).trim();
      try {
        const permit = await verify(jwt, options, terminal.clock.now());
        print({ valid: true, permit }, () => permitText(permit, style));
        return exitCodes.done;
      } catch (error) {
        if (!(error instanceof MusterError) || error.code !== 'PERMIT_INVALID') throw error;
        reportError(terminal, options.output === 'json', error);
        return exitCodes.refused;
      }
    },
  )
    .requiredOption('--keys <file>', "the federation's keys, as `muster keys` prints them")
    .option('--trust-domain <name>', 'refuse a permit of another trust domain')
    .option('--at <time>', 'judge it at this time (RFC 3339) instead of now', timeArgument);
}

/** The keys are what is trusted; the issuer must be a server, of the trust domain if one is given. */
async function verify(jwt: string, { keys, trustDomain, at }: VerifyOptions, now: Date): Promise<Permit> {
  const issuer = issuerOf(jwt);
  const server = parseSpiffeId(issuer);
  if (server?.role !== 'server' || server.trustDomain !== (trustDomain ?? server.trustDomain)) {
    throw refusal('PERMIT_INVALID');
  }
  return verifyPermit(jwt, {
    keys: keySet(keys),
    issuer,
    trustDomain: server.trustDomain,
    at: at ?? now,
  });
}

function issuerOf(jwt: string): string {
  try {
    return decodeJwt(jwt).iss ?? '';
  } catch (cause) {
    throw refusal('PERMIT_INVALID', {}, cause);
  }
}

function keySet(file: string): ReturnType<typeof createLocalJWKSet> {
  const text = readText(file);
  try {
    return createLocalJWKSet(JSON.parse(text) as JSONWebKeySet);
  } catch (cause) {
    throw refusal('ARGUMENT_INVALID', { message: `${file} holds no JWK set.`, path: '--keys' }, cause);
  }
}

function permitText({ jobId, generation, participants, issuedAt, expiresAt }: Permit, style: Styles): string {
  return [
    `${style.good('valid')}\n`,
    pairs(
      [
        ['job', jobId],
        ['generation', String(generation)],
        ['issued', time(issuedAt)],
        ['expires', time(expiresAt)],
        ['participants', participants.map(({ name }) => name).join(' ')],
      ],
      style,
    ),
  ].join('');
}

function timeArgument(text: string): Date {
  const date = new Date(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError('Expected a time such as 2026-01-31T12:00:00Z.');
  }
  return date;
}
