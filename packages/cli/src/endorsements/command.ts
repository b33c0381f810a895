import { readBundle, writeBundle } from '@muster/shared/endorsements/bundle/bundle.js';
import { checkAnswers, type CheckedAnswer } from '@muster/shared/endorsements/bundle/check.js';
import type { Answer } from '@muster/shared/endorsements/bundle/answer.js';
import { writeDirectory } from '@muster/shared/endorsements/bundle/directory.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { Command } from 'commander';
import { localCommand } from '../command.js';
import { vendorUrls } from '../evidence/command.js';
import { exitCodes, type ExitCode, type Terminal } from '../terminal.js';
import { collectAnswers, readAll, type CollectOptions } from './collect.js';
import { parseFingerprint } from '../evidence/verify.js';
import { writeNewFile } from '../files.js';
import { readBundleFile } from './files.js';
import { listingJson, listingText } from './render.js';

interface TrustOptions {
  readonly simulatedRoot?: readonly string[];
}

/** `muster endorsements export`, `import` and `list`: for machines without a way to the vendors. */
export function registerEndorsementCommands(program: Command, terminal: Terminal): void {
  const group = program
    .command('endorsements')
    .description('what vendors say of their devices, for offline use');
  registerExport(group, terminal);
  registerImport(group, terminal);
  const list = localCommand<TrustOptions>(
    group,
    terminal,
    'list <directory>',
    'check the endorsements in a directory, and show when they expire',
    async ({ options, print, style }, directory = '') => {
      const checked = check(await readAll(directory), options, terminal);
      print(listingJson(checked), () => listingText(checked, terminal.clock.now(), style));
      return exitCodeOf(checked);
    },
  );
  trustOption(list);
}

function registerExport(group: Command, terminal: Terminal): void {
  const command = localCommand<CollectOptions & TrustOptions & { readonly out: string }>(
    group,
    terminal,
    'export',
    'write endorsements to one file, those that are valid',
    async ({ options, print, style }) => {
      const answers = await collectAnswers(options, terminal.clock, vendorUrls(terminal));
      const checked = check(answers, options, terminal);
      const valid = checked.filter(isValid);
      if (valid.length === 0) {
        throw refusal('ENDORSEMENT_UNTRUSTED', { message: 'There is no valid endorsement to export.' });
      }
      writeNewFile(options.out, writeBundle(valid, terminal.clock.now()));
      print(listingJson(checked), () => listingText(checked, terminal.clock.now(), style));
      return exitCodeOf(checked);
    },
  )
    .requiredOption('--out <file>', 'the file to write; it must not be there yet')
    .option('--from <directory>', "a directory of endorsements, such as a server's data directory has")
    .option('--for <evidence>', 'fetch what this evidence needs; may be repeated', collect)
    .option('--namespace <name>', 'the kind of that evidence, such as x-snp')
    .option('--cert <file>', 'certificates that belong to the evidence; may be repeated', collect)
    .option('--offline', "do not ask the vendors' services");
  trustOption(command);
}

function registerImport(group: Command, terminal: Terminal): void {
  const command = localCommand<TrustOptions & { readonly into: string; readonly partial?: true }>(
    group,
    terminal,
    'import <bundle>',
    'check the endorsements of a file, and put them into a directory',
    async ({ options, print, style }, file = '') => {
      const { clock } = terminal;
      const checked = check(readBundle(readBundleFile(file)), options, terminal);
      const [first, ...rest] = checked.flatMap(({ refusal: why }) => why ?? []);
      if (first !== undefined && options.partial !== true) throw new MusterError([first, ...rest]);
      const valid = checked.filter(isValid);
      const placements = await writeDirectory(options.into, valid, clock.now());
      const placed = valid.map((answer, index) => {
        const placement = placements[index];
        return placement === undefined ? answer : { ...answer, placement };
      });
      const listed = [...placed, ...checked.filter((answer) => !isValid(answer))];
      print(listingJson(listed), () => listingText(listed, clock.now(), style));
      return exitCodeOf(checked);
    },
  )
    .requiredOption('--into <directory>', 'the directory, for endorsements.offline_directory')
    .option('--partial', 'put in what is valid when something else is not');
  trustOption(command);
}

function check(
  answers: readonly Answer[],
  { simulatedRoot = [] }: TrustOptions,
  { clock }: Terminal,
): readonly CheckedAnswer[] {
  const simulatedRoots = simulatedRoot.map(parseFingerprint);
  return checkAnswers(answers, { at: clock.now(), simulatedRoots });
}

function isValid({ refusal: why }: CheckedAnswer): boolean {
  return why === undefined;
}

function exitCodeOf(checked: readonly CheckedAnswer[]): ExitCode {
  return checked.every(isValid) ? exitCodes.done : exitCodes.warning;
}

function trustOption(command: Command): void {
  command.option(
    '--simulated-root <sha256>',
    'trust a simulated root, by the SHA-256 of its public key; may be repeated',
    collect,
  );
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
