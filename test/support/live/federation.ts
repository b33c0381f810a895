import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { muster, type CliResult } from '../cli.js';
import { startDevice, type LiveDevice } from './device.js';
import { runProgram, startProgram, type ProgramEnd, type RunningProgram } from './program.js';
import { LiveSite } from './site.js';
import { startTcpProxy } from './tcp-proxy.js';
import { eventually } from './wait.js';
import { freePorts, programs } from './workspace.js';

/** How a federation of real processes differs from its defaults. */
export interface LiveOptions {
  readonly heartbeat?: string;
  readonly lease?: string;
  /** How often every participant is verified again. */
  readonly verification?: string;
  /** Parts of the policies of the server and of every site. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Parts of the server's configuration. */
  readonly server?: Readonly<Record<string, unknown>>;
  /** Roots of other simulated devices, for the server and every site. */
  readonly simulatedRoots?: readonly { readonly namespace: string; readonly certificate: string }[];
  /** The server's environment, beside what every program gets. */
  readonly serverEnv?: Readonly<Record<string, string>>;
}

/** How a site differs from the others. */
export interface SiteOptions {
  /** Makes a way to the server that can be cut. */
  readonly proxied?: boolean;
  /** The ports by which the agent reaches the server, instead of the server's own. */
  readonly ports?: { readonly session: number; readonly enrollment: number };
  /** How long its tokens live. */
  readonly tokenLifetime?: string;
  /** What it wants between SIGTERM and SIGKILL of its jobs; by default the server's 1 s. */
  readonly grace?: string;
  /** Instead of the attester of its simulated SEV-SNP device. */
  readonly attesters?: readonly object[];
  /** Beside that attester. */
  readonly moreAttesters?: readonly object[];
  /** Parts of its own policy, beside those of every site. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** The agent's environment, beside what every program gets. */
  readonly env?: Readonly<Record<string, string>>;
}

const trustDomain = 'live.example';
const serverName = 'server';

/** A server and its sites as real processes with simulated devices, in a temporary directory, over loopback. */
export class LiveFederation {
  readonly directory = mkdtempSync(join(tmpdir(), 'muster-live-'));
  /** The join tokens that were made. */
  readonly secrets: string[] = [];
  readonly #options: LiveOptions;
  readonly #programs: RunningProgram[] = [];
  readonly #closers: (() => Promise<unknown>)[] = [];
  #ports: readonly number[] = [];
  #server: RunningProgram | undefined;
  #serverDevice: LiveDevice | undefined;

  private constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Starts the vendor, the server's device and the server, and issues the operator's credential. */
  static async start(options: LiveOptions = {}): Promise<LiveFederation> {
    const federation = new LiveFederation(options);
    try {
      await federation.#start();
      return federation;
    } catch (error) {
      await federation.close();
      throw error;
    }
  }

  /** The server's process. */
  get server(): RunningProgram {
    if (this.#server === undefined) throw new Error('the server was not started');
    return this.#server;
  }

  /** The device that the server proves itself with. */
  get serverDevice(): LiveDevice {
    if (this.#serverDevice === undefined) throw new Error('the server has no device yet');
    return this.#serverDevice;
  }

  get vendor(): string {
    return join(this.directory, 'vendor');
  }

  get serverConfig(): string {
    return join(this.directory, 'server', 'server.yaml');
  }

  /** The port of agents and operators, and that of enrolment. */
  get ports(): { readonly session: number; readonly enrollment: number } {
    const [session = 0, enrollment = 0] = this.#ports;
    return { session, enrollment };
  }

  /** Everything that every process has written so far. */
  get output(): string {
    return this.#programs.map((program) => program.output()).join('\n');
  }

  /** The processes that were started, also those that have ended. */
  get started(): readonly RunningProgram[] {
    return this.#programs;
  }

  /** Starts a program that ends with this federation. */
  launch(file: string, args: readonly string[], env?: Readonly<Record<string, string>>): RunningProgram {
    const program = startProgram(file, args, env);
    this.#programs.push(program);
    return program;
  }

  /** Runs `muster` as the operator. */
  muster(...args: string[]): Promise<CliResult> {
    return muster(args, { env: { MUSTER_PROFILE: join(this.directory, 'operator', 'profile.yaml') } });
  }

  /** Runs `muster ... -o json` as the operator and returns what it printed. */
  async ask<T>(...args: string[]): Promise<T> {
    return (await this.muster(...args, '-o', 'json')).json() as T;
  }

  /** Starts the server again, on the same data directory. */
  async startServer(): Promise<void> {
    const server = this.launch(
      programs.server,
      ['serve', '--config', this.serverConfig],
      this.#options.serverEnv,
    );
    this.#server = server;
    await Promise.race([
      eventually('the server to start', () => server.output().includes('server.started')),
      server.ended.then(({ code }) => {
        throw new Error(`the server ended with ${code}:\n${server.output()}`);
      }),
    ]);
  }

  /** Makes a join token, a device and an agent for a site, and starts them. */
  async addSite(
    name: string,
    {
      proxied = false,
      ports = this.ports,
      tokenLifetime,
      grace = '1s',
      attesters,
      moreAttesters = [],
      policy,
      env,
    }: SiteOptions = {},
  ): Promise<LiveSite> {
    const folder = join(this.directory, name);
    mkdirSync(folder, { mode: 0o700 });
    const device = await this.#startDevice(folder, name);
    const tokenFile = join(folder, 'join-token');
    const { caHash } = await this.ask<{ caHash: string }>('token', 'create', name, '--out', tokenFile);
    this.secrets.push(readFileSync(tokenFile, 'utf8').trim());
    const proxy = proxied ? await startTcpProxy(ports.session) : undefined;
    if (proxy !== undefined) this.#closers.push(() => proxy.close());
    writeYaml(join(folder, 'policy.yaml'), this.#policy(policy));
    writeYaml(join(folder, 'agent.yaml'), {
      name,
      trust_domain: trustDomain,
      server: {
        session: `127.0.0.1:${proxy?.port ?? ports.session}`,
        enrollment: `127.0.0.1:${ports.enrollment}`,
      },
      trust: { ca_hash: caHash },
      join_token_file: 'join-token',
      state_directory: 'state',
      socket: 'agent.sock',
      policy: 'policy.yaml',
      attesters: attesters ?? [
        { ...attester(device), ...(tokenLifetime !== undefined && { token_lifetime: tokenLifetime }) },
        ...moreAttesters,
      ],
      simulated_roots: this.#simulatedRoots(),
      endorsements: { offline_directory: join(this.vendor, 'endorsements') },
      jobs: { grace },
    });
    const site = new LiveSite({
      name,
      folder,
      device,
      proxy,
      launch: (file, args) => this.launch(file, args, env),
    });
    site.startAgent();
    return site;
  }

  /** Ends every process and removes the directory. */
  async close(): Promise<void> {
    for (const program of this.#programs.toReversed()) await program.stop();
    for (const close of this.#closers) await close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    this.#ports = await freePorts(2);
    const { session, enrollment } = this.ports;
    const folder = join(this.directory, 'server');
    mkdirSync(folder, { mode: 0o700 });
    await succeed(runProgram(programs.snpDevice, ['generate', '--vendor', this.vendor]));
    const device = await this.#startDevice(folder, serverName);
    this.#serverDevice = device;
    const { heartbeat = '1s', lease = '5s', verification = '10m' } = this.#options;
    writeYaml(join(folder, 'policy.yaml'), this.#policy());
    writeYaml(this.serverConfig, {
      name: serverName,
      trust_domain: trustDomain,
      data_directory: 'data',
      listen: { session: `127.0.0.1:${session}`, enrollment: `127.0.0.1:${enrollment}` },
      policy: 'policy.yaml',
      attesters: [attester(device)],
      simulated_roots: this.#simulatedRoots(),
      endorsements: { offline_directory: join(this.vendor, 'endorsements'), online: false },
      verification: { period: verification },
      session: { heartbeat_interval: heartbeat, lease_ttl: lease, challenge_timeout: '5s' },
      admission: { check_timeout: '10s' },
      stop: { grace: '1s' },
      ...this.#options.server,
    });
    await this.startServer();
    const out = join(this.directory, 'operator');
    await succeed(
      runProgram(programs.server, [
        'credential',
        'issue',
        '--config',
        this.serverConfig,
        '--role',
        'operator',
        '--name',
        'alice',
        '--out',
        out,
      ]),
    );
  }

  async #startDevice(folder: string, name: string): Promise<LiveDevice> {
    return startDevice(folder, name, this.vendor, (file, args) => this.launch(file, args));
  }

  #policy(own: Readonly<Record<string, unknown>> = {}): unknown {
    return {
      servers: [{ name: serverName, require: ['x-snp'] }],
      sites: [{ name: '*', require: ['x-snp'] }],
      namespaces: { 'x-snp': { measurements: ['5a'.repeat(48)] } },
      ...this.#options.policy,
      ...own,
    };
  }

  #simulatedRoots(): unknown {
    const ark = { namespace: 'x-snp', certificate: join(this.vendor, 'ark.pem') };
    return [ark, ...(this.#options.simulatedRoots ?? [])];
  }
}

function attester({ reportDirectory }: LiveDevice): object {
  return {
    namespace: 'x-snp',
    interface: 'configfs-tsm',
    report_directory: reportDirectory,
    timeout: '4s',
  };
}

/** JSON is YAML. */
function writeYaml(file: string, content: unknown): void {
  writeFileSync(file, JSON.stringify(content, undefined, 2));
}

async function succeed(run: Promise<ProgramEnd & { readonly output: string }>): Promise<void> {
  const { code, output } = await run;
  if (code !== 0) throw new Error(`a program ended with ${code}:\n${output}`);
}
