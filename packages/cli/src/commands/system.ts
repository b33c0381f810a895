import { refusal } from '@muster/shared/errors.js';
import { ParticipantServiceService, ParticipantState } from '@muster/shared/gen/muster/v1/participant.js';
import {
  GetStatusResponse,
  ShutdownResponse,
  SystemServiceService,
} from '@muster/shared/gen/muster/v1/system.js';
import type { Command } from 'commander';
import { durationArgument, serverCommand } from '../command.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { shutdownText, statusText } from '../render/system.js';
import { exitCodes, type Terminal } from '../terminal.js';
import { printParticipants } from './participant.js';

/** A site's device may take its time. */
const verificationTimeout = '60s';
const defaultShutdownMs = 30_000;
/** How much longer than the sites' deadline the answer to a shutdown may take. */
const shutdownMarginMs = 10_000;

interface ShutdownOptions {
  readonly deadline: number;
  readonly comment?: string;
  readonly yes?: boolean;
}

/** `muster status`, `verify`, `keys` and `shutdown` */
export function registerSystemCommands(program: Command, terminal: Terminal): void {
  serverCommand(program, terminal, 'status', 'show what the system is doing', async (context) => {
    const { server, timeoutMs, print, style } = context;
    const [status, { participants }] = await Promise.all([
      server.call(SystemServiceService.getStatus, {}, timeoutMs),
      server.call(ParticipantServiceService.listParticipants, {}, timeoutMs),
    ]);
    const exempt = participants.filter((participant) => participant.exempt).map(({ name }) => name);
    const json = GetStatusResponse.toJSON(status) as object;
    print({ ...json, exempt }, () => statusText(status, exempt, terminal.clock.now(), style));
    return exitCodes.done;
  });

  serverCommand(
    program,
    terminal,
    'verify [names...]',
    'demand fresh evidence now, of the named participants or of all',
    async (context, ...names) => {
      const { server, timeoutMs } = context;
      const request = { participants: names };
      const { participants } = await server.call(SystemServiceService.verifyNow, request, timeoutMs);
      printParticipants(context, participants);
      const trusted = participants.every(({ state }) => state === ParticipantState.TRUSTED);
      return trusted ? exitCodes.done : exitCodes.refused;
    },
    verificationTimeout,
  );

  serverCommand(
    program,
    terminal,
    'keys',
    'print the keys that sign permits and attestation results, a JWK set',
    async ({ server, timeoutMs }) => {
      const { jwks } = await server.call(SystemServiceService.getKeys, {}, timeoutMs);
      terminal.out(`${jwks}\n`);
      return exitCodes.done;
    },
  );

  serverCommand<ShutdownOptions>(
    program,
    terminal,
    'shutdown',
    'stop all jobs, then all agents, then the server',
    async ({ server, options, print, style }) => {
      await confirm(terminal, options.yes ?? false);
      const { deadline, comment } = options;
      const request = { deadline: toDuration(deadline), comment: comment ?? '' };
      const answer = await server.call(SystemServiceService.shutdown, request, deadline + shutdownMarginMs);
      print(ShutdownResponse.toJSON(answer), () => shutdownText(answer, style));
      return answer.sites.every((site) => site.acknowledged) ? exitCodes.done : exitCodes.refused;
    },
  )
    .option('--deadline <duration>', 'how long to wait for the sites', durationArgument, defaultShutdownMs)
    .option('--comment <text>', 'a sentence for the audit log')
    .option('-y, --yes', 'do not ask');
}

async function confirm(terminal: Terminal, yes: boolean): Promise<void> {
  if (yes) return;
  const answer = await terminal.ask('This stops every job, every agent and the server. Type yes to go on: ');
  if (answer?.trim() === 'yes') return;
  throw refusal('ARGUMENT_INVALID', {
    message: answer === undefined ? 'Nobody is there to ask: say --yes.' : 'Nothing was shut down.',
    path: '--yes',
  });
}
