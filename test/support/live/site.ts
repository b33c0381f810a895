import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LiveDevice } from './device.js';
import type { RunningProgram } from './program.js';
import type { TcpProxy } from './tcp-proxy.js';
import { eventually, isAlive } from './wait.js';
import { programs } from './workspace.js';

interface SiteParts {
  readonly name: string;
  readonly folder: string;
  readonly device: LiveDevice;
  readonly proxy: TcpProxy | undefined;
  readonly launch: (file: string, args: readonly string[]) => RunningProgram;
}

/** A site: a simulated device and an agent, each a process of its own. */
export class LiveSite {
  readonly name: string;
  readonly folder: string;
  readonly device: LiveDevice;
  readonly #proxy: TcpProxy | undefined;
  readonly #launch: SiteParts['launch'];
  #agent: RunningProgram | undefined;

  constructor({ name, folder, device, proxy, launch }: SiteParts) {
    this.name = name;
    this.folder = folder;
    this.device = device;
    this.#proxy = proxy;
    this.#launch = launch;
  }

  get agent(): RunningProgram {
    if (this.#agent === undefined) throw new Error(`the agent of ${this.name} was not started`);
    return this.#agent;
  }

  get configFile(): string {
    return join(this.folder, 'agent.yaml');
  }

  /** The way to the server, where the site was made with one that can be cut. */
  get way(): TcpProxy {
    if (this.#proxy === undefined) throw new Error(`the way of ${this.name} cannot be cut`);
    return this.#proxy;
  }

  startAgent(): void {
    this.#agent = this.#launch(programs.agent, ['start', '--config', this.configFile]);
  }

  /** Runs a shell script as a job's command under the agent. */
  runCommand(jobId: string, script: string, wait = '10s'): RunningProgram {
    const options = ['--config', this.configFile, '--job', jobId, '--wait', wait];
    return this.#launch(programs.agent, ['run', ...options, '--', 'sh', '-c', script]);
  }

  /** Starts a command that lasts: a shell with a child, so that there is a process tree. */
  run(jobId: string, { wait = '10s' } = {}): JobRun {
    const pidFile = join(this.folder, `${jobId}.pids`);
    const script = `sleep 600 & echo $$ $! > ${pidFile}; wait`;
    return new JobRun(this.name, this.runCommand(jobId, script, wait), pidFile);
  }
}

/** A job's processes at one site. */
export class JobRun {
  readonly site: string;
  readonly program: RunningProgram;
  readonly #pidFile: string;

  constructor(site: string, program: RunningProgram, pidFile: string) {
    this.site = site;
    this.program = program;
    this.#pidFile = pidFile;
  }

  /** The processes that the command made; empty before it was started. */
  get pids(): readonly number[] {
    if (!existsSync(this.#pidFile)) return [];
    return readFileSync(this.#pidFile, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
  }

  /** Waits until both processes of the command are there. */
  async running(): Promise<void> {
    await eventually(
      `processes at ${this.site}; ${this.program.output()}`,
      () => this.pids.length === 2 && this.pids.every(isAlive),
    );
  }

  /** Waits until none of the command's processes is left. */
  async gone(timeoutMs?: number): Promise<void> {
    await eventually(`no processes at ${this.site}`, () => !this.pids.some(isAlive), timeoutMs);
  }
}
