import { loadPolicy } from '@muster/shared/policy/policy.js';
import { Option, type Command } from 'commander';
import { localCommand } from '../command.js';
import { evidenceOptions, vendorUrls } from '../evidence/command.js';
import { exitCodes, type Terminal } from '../terminal.js';
import { trialJson, trialText } from './render.js';
import { tryPolicy, type TryOptions } from './try-policy.js';

/** `muster policy test` and `muster policy validate` */
export function registerPolicyCommands(program: Command, terminal: Terminal): void {
  const group = program.command('policy').description('policy files, without a server');
  const test = localCommand<TryOptions>(
    group,
    terminal,
    'test',
    'what a policy says of evidence, rule by rule and without effect',
    async ({ options, print, style }) => {
      const trial = await tryPolicy(options, terminal.clock, vendorUrls(terminal));
      print(trialJson(trial), () => trialText(trial, style));
      return trial.isProof ? exitCodes.done : exitCodes.refused;
    },
  );
  evidenceOptions(test)
    .requiredOption('--policy <file>', 'the policy file')
    .option('--participant <name>', 'whose evidence it is, which decides the rule that counts')
    .addOption(
      new Option('--role <role>', 'what the participant is').choices(['site', 'server']).default('site'),
    );
  localCommand(
    group,
    terminal,
    'validate <file>',
    'whether a policy file is valid',
    async ({ print, style }, file = '') => {
      loadPolicy(file);
      print({ valid: true }, () => `${style.good('valid')}\n`);
      return exitCodes.done;
    },
  );
}
