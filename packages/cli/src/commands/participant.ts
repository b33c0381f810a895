import {
  type Participant,
  Participant as ParticipantMessage,
  ParticipantServiceService as service,
  WatchParticipantsResponse,
} from '@muster/shared/gen/muster/v1/participant.js';
import { refusal } from '@muster/shared/errors.js';
import type { Command } from 'commander';
import { serverCommand, type ServerContext } from '../command.js';
import {
  participantClaims,
  participantDetails,
  participantLine,
  participantTable,
} from '../render/participant.js';
import { exitCodes, type ExitCode, type Terminal } from '../terminal.js';

interface CommentOption {
  readonly comment?: string;
}

/** `muster participant ...` */
export function registerParticipantCommands(program: Command, terminal: Terminal): void {
  const group = program.command('participant').description('the participants of the federation');

  serverCommand(group, terminal, 'list', 'list the participants, the server among them', async (context) => {
    const { participants } = await context.server.call(service.listParticipants, {}, context.timeoutMs);
    printParticipants(context, participants);
    return exitCodes.done;
  });

  serverCommand<{ readonly claims?: boolean }>(
    group,
    terminal,
    'get <name>',
    'show one participant',
    async (context, name) => {
      const { participant } = await context.server.call(
        service.getParticipant,
        { name: name ?? '' },
        context.timeoutMs,
      );
      return printParticipant(context, participant, context.options.claims);
    },
  ).option('--claims', 'show what its evidence says');

  serverCommand(group, terminal, 'watch', 'show every change until interrupted', async (context) => {
    const { server, style, print, timeoutMs } = context;
    for await (const change of server.watch(service.watchParticipants, {}, timeoutMs)) {
      const { participant, removed } = change;
      if (participant === undefined) continue;
      print(WatchParticipantsResponse.toJSON(change), () => participantLine(participant, removed, style));
    }
    return exitCodes.done;
  });

  serverCommand<CommentOption>(
    group,
    terminal,
    'quarantine <name>',
    'bar a participant from jobs and end what it runs',
    async (context, name) => {
      const request = { name: name ?? '', comment: context.options.comment ?? '' };
      const answer = await context.server.call(service.quarantineParticipant, request, context.timeoutMs);
      return printParticipant(context, answer.participant);
    },
  ).option('--comment <text>', 'a sentence for the audit log');

  serverCommand<CommentOption>(
    group,
    terminal,
    'readmit <name>',
    'end a quarantine; fresh evidence is still needed',
    async (context, name) => {
      const request = { name: name ?? '', comment: context.options.comment ?? '' };
      const answer = await context.server.call(service.readmitParticipant, request, context.timeoutMs);
      return printParticipant(context, answer.participant);
    },
  ).option('--comment <text>', 'a sentence for the audit log');

  serverCommand<CommentOption>(
    group,
    terminal,
    'remove <name>',
    'remove a participant: its jobs end, its certificates are refused',
    async (context, name = '') => {
      const request = { name, comment: context.options.comment ?? '' };
      await context.server.call(service.removeParticipant, request, context.timeoutMs);
      context.print({ removed: name }, () => `${name} is removed\n`);
      return exitCodes.done;
    },
  ).option('--comment <text>', 'a sentence for the audit log');
}

/** Prints participants as `{"participants": [...]}` or as a table. */
export function printParticipants(
  { print, style, terminal }: ServerContext<unknown>,
  participants: readonly Participant[],
): void {
  print({ participants: participants.map((participant) => ParticipantMessage.toJSON(participant)) }, () =>
    participantTable(participants, terminal.clock.now(), style),
  );
}

function printParticipant(
  { print, style, terminal }: ServerContext<unknown>,
  participant: Participant | undefined,
  claims = false,
): ExitCode {
  if (participant === undefined) throw refusal('INTERNAL', { message: 'The server named no participant.' });
  print({ participant: ParticipantMessage.toJSON(participant) }, () =>
    [
      participantDetails(participant, terminal.clock.now(), style),
      claims ? participantClaims(participant, style) : '',
    ].join(''),
  );
  return exitCodes.done;
}
