import { refusal } from '@muster/shared/errors.js';
import { isReasonCode, reasonCatalogue } from '@muster/shared/reasons.js';
import type { Command } from 'commander';
import { localCommand } from '../command.js';
import { reasonLines } from '../render/text.js';
import { exitCodes, type Terminal } from '../terminal.js';

/** `muster reasons` */
export function registerReasonsCommand(program: Command, terminal: Terminal): void {
  localCommand(
    program,
    terminal,
    'reasons [code]',
    'explain a reason, or list them all',
    async ({ print, style }, code) => {
      if (code !== undefined && !isReasonCode(code)) {
        throw refusal('ARGUMENT_INVALID', { message: `There is no reason ${code}.`, path: 'code' });
      }
      const reasons = Object.entries(reasonCatalogue)
        .filter(([name]) => code === undefined || name === code)
        .map(([name, { status, summary, remedy }]) => ({ code: name, status, message: summary, remedy }));
      print({ reasons }, () => reasonLines(reasons, style));
      return exitCodes.done;
    },
  );
}
