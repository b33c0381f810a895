import { refusal } from '@muster/shared/errors.js';
import {
  CreateJoinTokenResponse,
  ParticipantServiceService as service,
} from '@muster/shared/gen/muster/v1/participant.js';
import { fileProblem } from '@muster/shared/files.js';
import type { Command } from 'commander';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { durationArgument, serverCommand } from '../command.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { time } from '../render/text.js';
import { exitCodes, type Terminal } from '../terminal.js';

interface CreateOptions {
  readonly ttl?: number;
  readonly out?: string;
}

/** `muster token create` */
export function registerTokenCommands(program: Command, terminal: Terminal): void {
  const group = program.command('token').description('join tokens, with which sites enrol');
  serverCommand<CreateOptions>(
    group,
    terminal,
    'create <name>',
    'make a join token for one participant; it is shown once',
    async ({ server, options, timeoutMs, print }, name = '') => {
      const file = options.out === undefined ? undefined : createSecretFile(options.out);
      try {
        const request = {
          participant: name,
          ttl: options.ttl === undefined ? undefined : toDuration(options.ttl),
        };
        const answer = await server.call(service.createJoinToken, request, timeoutMs);
        file?.write(`${answer.joinToken}\n`);
        const shown = file === undefined ? answer : { ...answer, joinToken: '' };
        const json = CreateJoinTokenResponse.toJSON(shown) as object;
        print(options.out === undefined ? json : { ...json, file: options.out }, () =>
          file === undefined ? `${answer.joinToken}\n` : `${options.out}\n`,
        );
        terminal.err(nextStep(name, answer, options.out));
        return exitCodes.done;
      } catch (error) {
        file?.discard();
        throw error;
      }
    },
  )
    .option('--ttl <duration>', 'how long it may be used (1h)', durationArgument)
    .option('--out <file>', 'write it to a new file that only this user can read');
}

function nextStep(
  name: string,
  { expiresAt, caHash }: CreateJoinTokenResponse,
  file: string | undefined,
): string {
  return [
    `The token enrols ${name} once, until ${time(expiresAt)}.`,
    `ca_hash: ${caHash}`,
    `Next: copy ${file === undefined ? 'the token into a file' : file} to the site, name it and the ca_hash in its agent.yaml, start the agent.`,
    '',
  ].join('\n');
}

interface SecretFile {
  write(content: string): void;
  discard(): void;
}

/** Makes a new file for its owner only, before the secret exists. Errors: FILE_EXISTS, FILE_UNWRITABLE. */
function createSecretFile(file: string): SecretFile {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const problem = exists ? 'exists already' : `cannot be written: ${fileProblem(cause)}`;
    throw refusal(
      exists ? 'FILE_EXISTS' : 'FILE_UNWRITABLE',
      { message: `${file} ${problem}.`, path: file },
      cause,
    );
  }
  return {
    write: (content) => {
      writeSync(descriptor, content);
      closeSync(descriptor);
    },
    discard: () => {
      unlinkSync(file);
    },
  };
}
