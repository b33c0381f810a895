import { emptyChain, verifyChain, type ChainedRecord, type ChainHead } from '@muster/shared/audit/chain.js';
import { validate } from '@muster/shared/config/load.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { AuditRecord, SystemServiceService as service } from '@muster/shared/gen/muster/v1/system.js';
import type { Command } from 'commander';
import * as z from 'zod';
import {
  type Context,
  countArgument,
  localCommand,
  serverCommand,
  type ServerContext,
  serverOptions,
  type ServerOptions,
  withServer,
} from '../command.js';
import { readText, writeNewFile } from '../files.js';
import { auditLine } from '../render/system.js';
import { exitCodes, type ExitCode, type Terminal } from '../terminal.js';

const maxPageSize = 1000;

/** The file that `muster audit export` writes, and `muster audit list -o json`. */
const exportSchema = z.object({
  records: z.array(
    z.object({
      seq: z
        .string()
        .regex(/^\d{1,15}$/)
        .transform(Number),
      content: z.string(),
      hash: z.string(),
      previousHash: z.string(),
    }),
  ),
});

interface ListOptions {
  readonly from: number;
  readonly limit: number;
}

interface ExportOptions {
  readonly from: number;
  readonly out: string;
}

/** `muster audit ...` */
export function registerAuditCommands(program: Command, terminal: Terminal): void {
  const group = program.command('audit').description('the hash-chained log of every decision');

  serverCommand<ListOptions>(group, terminal, 'list', 'list records in order', async (context) => {
    const { from, limit } = context.options;
    const records: AuditRecord[] = [];
    for await (const page of pages(context, from, limit)) records.push(...page);
    context.print({ records: records.map((record) => AuditRecord.toJSON(record)) }, () =>
      records.map((record) => auditLine(record, context.style)).join(''),
    );
    return exitCodes.done;
  })
    .option('--from <number>', 'the first record', countArgument, 1)
    .option('--limit <number>', 'at most so many', countArgument, 100);

  serverCommand<ExportOptions>(
    group,
    terminal,
    'export',
    'write all records to a new file, checked, for `audit verify` on another machine',
    async (context) => {
      const { from, out } = context.options;
      const records: AuditRecord[] = [];
      let head: ChainHead | undefined;
      for await (const page of pages(context, from, Infinity)) {
        const [first] = page;
        if (first === undefined) continue;
        head = advance(page, head ?? before({ seq: Number(first.seq), previousHash: first.previousHash }));
        records.push(...page);
      }
      if (head === undefined)
        throw refusal('ARGUMENT_INVALID', { message: `There is no record ${from}.`, path: '--from' });
      writeNewFile(
        out,
        `${JSON.stringify({ records: records.map((record) => AuditRecord.toJSON(record)) })}\n`,
      );
      return printHead(context, head, from);
    },
  )
    .option('--from <number>', 'the first record', countArgument, 1)
    .requiredOption('--out <file>', 'the file to make');

  serverOptions(
    localCommand<ServerOptions>(
      group,
      terminal,
      'verify [file]',
      'check the hash chain on this machine: of the server, or of what `export` wrote',
      (context, file) => (file === undefined ? verifyServer(context) : verifyFile(context, file)),
    ),
    '15s',
  );
}

function verifyServer(context: Context<ServerOptions>): Promise<ExitCode> {
  return withServer(context, async (connected) => {
    let head = emptyChain;
    for await (const page of pages(connected, 1, Infinity)) head = advance(page, head);
    return printHead(context, head);
  });
}

async function verifyFile(context: Context<unknown>, file: string): Promise<ExitCode> {
  const { records } = validate(parse(file), exportSchema, 'ARGUMENT_INVALID', file);
  const [first] = records;
  if (first === undefined) {
    throw refusal('ARGUMENT_INVALID', { message: `${file} holds no records.`, path: 'records' });
  }
  return printHead(context, advance(records, before(first)), first.seq);
}

/** Checks records that follow a head and returns the next head. Errors: AUDIT_CHAIN_BROKEN. */
function advance(records: Iterable<ChainedRecord>, after: ChainHead): ChainHead {
  const check = verifyChain(records, after);
  if (check.intact) return check.head;
  throw refusal('AUDIT_CHAIN_BROKEN', {
    message: `The hash chain is broken: ${check.problem}.`,
    path: `records[${check.seq}]`,
  });
}

/** The head of the chain just before a record. The first record of all follows nothing. */
function before({ seq, previousHash }: { seq: number; previousHash: string }): ChainHead {
  return seq === 1 ? emptyChain : { seq: seq - 1, hash: previousHash };
}

function printHead({ print, style }: Context<unknown>, head: ChainHead, from = 1): ExitCode {
  const span = from === 1 ? `to record ${head.seq}` : `from record ${from} to record ${head.seq}`;
  print({ intact: true, from, head }, () => `${style.good('intact')} ${span}, hash ${head.hash}\n`);
  return exitCodes.done;
}

async function* pages(
  { server, timeoutMs }: ServerContext<unknown>,
  from: number,
  limit: number,
): AsyncGenerator<readonly AuditRecord[]> {
  let left = limit;
  for (let next = from, more = true; more && left > 0;) {
    const pageSize = Math.min(maxPageSize, left);
    const request = { fromSeq: BigInt(next), pageSize };
    const { records } = await server.call(service.listAuditRecords, request, timeoutMs);
    yield records;
    next += records.length;
    left -= records.length;
    more = records.length === pageSize;
  }
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readText(file));
  } catch (cause) {
    if (cause instanceof MusterError) throw cause;
    throw refusal('ARGUMENT_INVALID', { message: `${file} is not JSON.`, path: file }, cause);
  }
}
