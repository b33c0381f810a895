import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from '@jest/globals';
import { eventually } from './eventually.js';

const tools = ['swtpm', 'swtpm_setup', 'swtpm_localca', 'tpm2_createak', 'tpm2_makecredential'];
const packages = ['swtpm', 'swtpm-tools', 'tpm2-tools'];
const installTimeoutMs = 120_000;

function areInstalled(): boolean {
  return tools.every((tool) => spawnSync('which', [tool]).status === 0);
}

/** Only root can install, and only where there is a package registry. */
function install(): boolean {
  if (process.getuid?.() !== 0) return false;
  const options = ['install', '--yes', '--no-install-recommends', ...packages];
  spawnSync('apt-get', options, { timeout: installTimeoutMs, stdio: 'ignore' });
  return areInstalled();
}

/** Tests that need a software TPM: it is installed where that is possible, else they are skipped in one line. */
export function describeTpm(title: string, tests: () => void): void {
  if (areInstalled() || install()) {
    describe(title, () => {
      tests();
    });
  } else it.todo(`${title}: skipped, since ${packages.join(', ')} are not installed`);
}

/** The persistent handles of the endorsement key and of the attestation key, and of such a pair of ECC keys alone. */
export const handles = { ek: 0x8101_0001, ak: 0x8101_0002, eccEk: 0x8101_0003, eccAk: 0x8101_0004 } as const;
const ekCertificateIndex = '0x1c00002';

/** A software TPM with an endorsement key that its maker certified, and an attestation key. */
export class SoftwareTpm {
  readonly #folder = mkdtempSync(join(tmpdir(), 'muster-tpm-'));
  readonly #env: NodeJS.ProcessEnv = { ...process.env };
  #process: ChildProcess | undefined;

  /** Makes the TPM, its maker's CA and its keys. */
  async manufacture(): Promise<void> {
    for (const name of ['state', 'ca']) mkdirSync(this.file(name));
    const ca = ['statedir', 'signingkey', 'issuercert', 'certserial'].map(
      (key, index) =>
        `${key} = ${this.file(['ca', 'ca/key.pem', 'ca/issuer.pem', 'ca/serial'][index] ?? '')}`,
    );
    writeFileSync(this.file('ca.conf'), ca.join('\n'));
    writeFileSync(
      this.file('ca.options'),
      '--platform-manufacturer Muster\n--platform-version 1\n--platform-model test\n',
    );
    writeFileSync(
      this.file('setup.conf'),
      [
        'create_certs_tool = swtpm_localca',
        `create_certs_tool_config = ${this.file('ca.conf')}`,
        `create_certs_tool_options = ${this.file('ca.options')}`,
        'active_pcr_banks = sha256',
      ].join('\n'),
    );
    const user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
    const setup = [
      '--tpm2',
      '--create-ek-cert',
      '--tpmstate',
      this.file('state'),
      '--config',
      this.file('setup.conf'),
    ];
    execFileSync('swtpm_setup', [...setup, '--runas', user], { stdio: 'ignore' });
    const port = await freePorts();
    await this.#serve(
      ['--server', `type=tcp,port=${port}`, '--ctrl', `type=tcp,port=${port + 1}`],
      async () => {
        await reachable(port + 1);
      },
    );
    this.#env['TPM2TOOLS_TCTI'] = `swtpm:host=127.0.0.1,port=${port}`;
    this.#createAttestationKey('ak', handles.ek, handles.ak);
    this.run('tpm2_createek', '-G', 'ecc', '-c', hexOf(handles.eccEk), '-u', 'ecc-ek.pem', '-f', 'pem');
    this.run('tpm2_flushcontext', '-t');
    this.#createAttestationKey('ecc-ak', handles.eccEk, handles.eccAk);
    this.run('tpm2_nvread', ekCertificateIndex, '-o', 'ek.der');
  }

  #createAttestationKey(name: string, ek: number, handle: number): void {
    const kind = ['-G', 'ecc', '-g', 'sha256', '-s', 'ecdsa'];
    const files = ['-c', `${name}.ctx`, '-u', `${name}.pub`, '-n', `${name}.name`];
    this.run('tpm2_createak', '-C', hexOf(ek), ...kind, ...files);
    this.run('tpm2_flushcontext', '-t');
    this.run('tpm2_evictcontrol', '-C', 'o', '-c', `${name}.ctx`, hexOf(handle));
    this.run('tpm2_flushcontext', '-t');
  }

  /** Serves the TPM on a socket from now on, and returns its path. */
  async listen(): Promise<string> {
    await this.stop();
    const path = this.file('socket');
    await this.#serve(['--server', `type=unixio,path=${path}`], () =>
      eventually(() => existsSync(path), 'the socket of the TPM'),
    );
    return path;
  }

  async stop(): Promise<void> {
    if (this.#process === undefined) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill();
    await ended;
    this.#process = undefined;
  }

  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true });
  }

  /** Runs a command in the TPM's folder. */
  run(command: string, ...args: readonly string[]): void {
    execFileSync(command, args, { cwd: this.#folder, env: this.#env, stdio: 'pipe' });
  }

  read(name: string): Buffer {
    return readFileSync(this.file(name));
  }

  write(name: string, content: string | Uint8Array): void {
    writeFileSync(this.file(name), content);
  }

  file(name: string): string {
    return join(this.#folder, name);
  }

  async #serve(server: readonly string[], isReady: () => Promise<void>): Promise<void> {
    const state = ['--tpmstate', `dir=${this.file('state')}`, '--flags', 'not-need-init,startup-clear'];
    this.#process = spawn('swtpm', ['socket', '--tpm2', ...state, ...server], { stdio: 'ignore' });
    await isReady();
  }
}

function hexOf(handle: number): string {
  return `0x${handle.toString(16)}`;
}

/** A port that is free, and so is the next as a rule. */
async function freePorts(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function reachable(port: number): Promise<void> {
  const listening = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  const isListening = (): boolean => readFileSync('/proc/net/tcp', 'latin1').includes(listening);
  await eventually(isListening, 'the port of the TPM');
}
