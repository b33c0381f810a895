import { refusal } from '@muster/shared/errors.js';
import {
  type Job,
  DryRunAdmitJobResponse,
  Job as JobMessage,
  JobServiceService as service,
  JobState,
} from '@muster/shared/gen/muster/v1/job.js';
import { type Command, Option } from 'commander';
import { countArgument, listArgument, serverCommand, type ServerContext } from '../command.js';
import { hasEnded, jobDetails, jobLine, jobTable, siteTable } from '../render/job.js';
import { reasonLines } from '../render/text.js';
import { exitCodes, type ExitCode, type Terminal } from '../terminal.js';

/** Admission waits for every site's own check. */
const admissionTimeout = '60s';

const states = {
  submitted: JobState.SUBMITTED,
  blocked: JobState.BLOCKED,
  checking: JobState.CHECKING,
  admitted: JobState.ADMITTED,
  running: JobState.RUNNING,
  stopping: JobState.STOPPING,
  stopped: JobState.STOPPED,
  completed: JobState.COMPLETED,
  failed: JobState.FAILED,
} as const;
type StateName = keyof typeof states;

interface SpecOptions {
  readonly site?: readonly string[];
  readonly byoc?: boolean;
  readonly name?: string;
}

/** `muster job ...` */
export function registerJobCommands(program: Command, terminal: Terminal): void {
  const group = program.command('job').description('jobs and their admission');
  registerAdmission(group, terminal);
  registerLifecycle(group, terminal);
  registerViews(group, terminal);
}

function registerAdmission(group: Command, terminal: Terminal): void {
  withSpec(
    serverCommand<SpecOptions>(group, terminal, 'submit [id]', 'register a job', async (context, id = '') => {
      const request = { jobId: id, spec: specOf(context.options) };
      const { job } = await context.server.call(service.submitJob, request, context.timeoutMs);
      return printJob(context, job);
    }),
  );

  serverCommand(
    group,
    terminal,
    'clone <id> [new-id]',
    'register a copy',
    async (context, id = '', newId = '') => {
      const request = { jobId: id, newJobId: newId };
      const { job } = await context.server.call(service.cloneJob, request, context.timeoutMs);
      return printJob(context, job);
    },
  );

  serverCommand(
    group,
    terminal,
    'admit <id>',
    'decide admission: the server and every site verify all participants',
    async (context, id = '') => {
      const { job } = await context.server.call(service.admitJob, { jobId: id }, context.timeoutMs);
      return printJob(context, job);
    },
    admissionTimeout,
  );

  withSpec(
    serverCommand<SpecOptions>(
      group,
      terminal,
      'dry-run [id]',
      'answer as admit would, without effect, for a job or for --site ...',
      async ({ server, options, timeoutMs, print, style }, id = '') => {
        const request = { jobId: id, spec: id === '' ? specOf(options) : undefined };
        const answer = await server.call(service.dryRunAdmitJob, request, timeoutMs);
        print(DryRunAdmitJobResponse.toJSON(answer), () => {
          const verdict = answer.admitted ? style.good('would be admitted') : style.bad('would be blocked');
          return `${verdict}\n${siteTable(answer.sites, style)}${reasonLines(answer.reasons, style)}`;
        });
        return answer.admitted ? exitCodes.done : exitCodes.refused;
      },
      admissionTimeout,
    ),
  );
}

function registerLifecycle(group: Command, terminal: Terminal): void {
  serverCommand<{ readonly comment?: string }>(
    group,
    terminal,
    'stop <id>',
    'stop a job at every site; returns as the stop begins',
    async (context, id = '') => {
      const request = { jobId: id, comment: context.options.comment ?? '' };
      const { job } = await context.server.call(service.stopJob, request, context.timeoutMs);
      return printJob(context, job);
    },
  ).option('--comment <text>', 'a sentence for the audit log');

  serverCommand<{ readonly generation: number; readonly state: StateName; readonly detail?: string }>(
    group,
    terminal,
    'report <id>',
    'report on a job whose processes a framework runs itself',
    async (context, id = '') => {
      const { generation, state, detail } = context.options;
      const request = {
        jobId: id,
        generation: BigInt(generation),
        state: states[state],
        detail: detail ?? '',
      };
      const { job } = await context.server.call(service.reportJobState, request, context.timeoutMs);
      return printJob(context, job);
    },
  )
    .requiredOption('--generation <number>', 'the generation reported on', countArgument)
    .addOption(
      new Option('--state <state>', 'what the job does')
        .choices(['running', 'completed', 'failed'])
        .makeOptionMandatory(),
    )
    .option('--detail <text>', 'a sentence for people');
}

function registerViews(group: Command, terminal: Terminal): void {
  serverCommand(group, terminal, 'get <id>', 'show one job', async (context, id = '') => {
    const { job } = await context.server.call(service.getJob, { jobId: id }, context.timeoutMs);
    printJob(context, job);
    return exitCodes.done;
  });

  serverCommand<{ readonly state?: StateName; readonly limit: number }>(
    group,
    terminal,
    'list',
    'list jobs, newest first',
    async ({ server, options, timeoutMs, print, style }) => {
      const state = options.state === undefined ? JobState.UNSPECIFIED : states[options.state];
      const jobs: Job[] = [];
      for (let pageToken = '', more = true; more; more = pageToken !== '') {
        const pageSize = Math.min(1000, options.limit - jobs.length);
        const page = await server.call(service.listJobs, { state, pageSize, pageToken }, timeoutMs);
        jobs.push(...page.jobs);
        pageToken = jobs.length < options.limit ? page.nextPageToken : '';
      }
      print({ jobs: jobs.map((job) => JobMessage.toJSON(job)) }, () => jobTable(jobs, style));
      return exitCodes.done;
    },
  )
    .addOption(new Option('--state <state>', 'only jobs in this state').choices(Object.keys(states)))
    .option('--limit <number>', 'at most so many', countArgument, 100);

  serverCommand(
    group,
    terminal,
    'watch [id]',
    'show every change; of one job, until it has ended',
    async ({ server, timeoutMs, print, style }, id = '') => {
      for await (const { job } of server.watch(service.watchJobs, { jobId: id }, timeoutMs)) {
        if (job === undefined) continue;
        print({ job: JobMessage.toJSON(job) }, () => jobLine(job, style));
        if (id !== '' && hasEnded(job)) break;
      }
      return exitCodes.done;
    },
  );
}

function withSpec(command: Command): Command {
  return command
    .option('--site <name>', 'a participant; repeat it, or separate names by commas', listArgument)
    .option('--byoc', 'the job brings custom code')
    .option('--name <text>', 'a label for people');
}

function specOf({ site, byoc, name }: SpecOptions): {
  participants: readonly string[];
  byoc: boolean;
  name: string;
} {
  return { participants: site ?? [], byoc: byoc ?? false, name: name ?? '' };
}

/** Prints a job as `{"job": ...}` or in full; a blocked one is a negative answer. */
function printJob({ print, style }: ServerContext<unknown>, job: Job | undefined): ExitCode {
  if (job === undefined) throw refusal('INTERNAL', { message: 'The server named no job.' });
  print({ job: JobMessage.toJSON(job) }, () => jobDetails(job, style));
  return job.state === JobState.BLOCKED ? exitCodes.refused : exitCodes.done;
}
