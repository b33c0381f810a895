import { systemClock } from '@muster/shared/clock.js';
import { parseDuration } from '@muster/shared/config/duration.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import { Argument, InvalidArgumentError, Option, type Command } from 'commander';
import { auditLog } from './audit/log.js';
import { openAuthority } from './ca/authority.js';
import { issueCredential, issuedRoles, type CredentialRequest } from './ca/credential.js';
import { listCredentials, revokeCredential, type CredentialSelection } from './ca/revocation.js';
import {
  progressOf,
  rotationSteps,
  takeStep,
  type RotationContext,
  type RotationStep,
} from './ca/rotation.js';
import { loadConfig, type ServerConfig } from './config/config.js';
import { openSqliteStore } from './store/sqlite.js';
import type { Store } from './store/store.js';

/** The option that every command takes. */
export interface ConfigOptions {
  readonly config: string;
}

interface IssueOptions extends ConfigOptions, Omit<CredentialRequest, 'lifetimeMs'> {
  readonly ttl: number;
}

/** The configuration file of a command. */
export function configOption(): Option {
  return new Option('--config <file>', 'the configuration file')
    .env('MUSTER_SERVER_CONFIG')
    .makeOptionMandatory();
}

/** `muster-server credential issue`, `list` and `revoke`: they work beside a running server. */
export function registerCredentialCommands(program: Command): void {
  const credential = program
    .command('credential')
    .description('credentials of operators, frameworks and auditors');
  const role = (): Option =>
    new Option('--role <role>', 'what it allows').choices(issuedRoles).makeOptionMandatory();
  credential
    .command('issue')
    .description('issue a credential, with a profile for the muster command')
    .addOption(configOption())
    .addOption(role())
    .requiredOption('--name <name>', 'whose it is: a DNS label')
    .requiredOption('--out <folder>', 'where to write its files')
    .option('--ttl <duration>', 'how long it is valid', readDuration, parseDuration('90d'))
    .action(async ({ config, role: given, name, out, ttl }: IssueOptions) => {
      const request = { role: given, name, out, lifetimeMs: ttl };
      const { profile, notAfter } = await issueCredential(loadConfig(config), request, systemClock);
      say(`issued ${given} ${name}, valid until ${notAfter.toISOString()}: ${profile}`);
    });
  credential
    .command('list')
    .description('list the credentials that are accepted now')
    .addOption(configOption())
    .action(({ config }: ConfigOptions) =>
      withStore(config, async (store) => {
        for (const row of await listCredentials(store, systemClock)) {
          say(`${row.role} ${row.name} ${row.serial} until ${new Date(row.not_after).toISOString()}`);
        }
      }),
    );
  credential
    .command('revoke')
    .description('refuse a credential from now on; open streams of it end within a second')
    .addOption(configOption())
    .addOption(role())
    .requiredOption('--name <name>', 'whose it is')
    .option('--serial <serial>', 'only the one of this serial number')
    .action(({ config, ...selection }: ConfigOptions & CredentialSelection) =>
      withStore(config, async (store, loaded) => {
        const count = await revokeCredential(store, loaded, selection, systemClock);
        say(`revoked ${count} credential${count === 1 ? '' : 's'} of ${selection.role} ${selection.name}`);
      }),
    );
}

/** `muster-server ca hash`, `bundle`, `status` and `rotate`: they work beside a running server. */
export function registerCaCommands(program: Command): void {
  const ca = program.command('ca').description("the federation's CA and its rotation");
  ca.command('hash')
    .description('print the hash of the CA that issues, for agents to pin')
    .addOption(configOption())
    .action(({ config }: ConfigOptions) =>
      withStore(config, async (store, loaded) => say((await authority(store, loaded)).hash)),
    );
  ca.command('bundle')
    .description('print the certificates of every CA that is trusted, PEM')
    .addOption(configOption())
    .action(({ config }: ConfigOptions) =>
      withStore(config, async (store, loaded) => {
        process.stdout.write((await authority(store, loaded)).bundlePem);
      }),
    );
  ca.command('status')
    .description('show how far a rotation is, and whom the next step would cut off')
    .addOption(configOption())
    .action(({ config }: ConfigOptions) => withStore(config, showRotation));
  ca.command('rotate')
    .description('take the next step of a rotation of the CA')
    .addArgument(new Argument('<step>', 'what to do').choices(rotationSteps))
    .addOption(configOption())
    .option('--force', 'cut off those that are not ready')
    .action((step: RotationStep, { config, force = false }: ConfigOptions & { readonly force?: boolean }) =>
      withStore(config, async (store, loaded) => {
        await authority(store, loaded);
        await takeStep(contextOf(store, loaded), step, force, (tx) =>
          auditLog(systemClock).append(tx, {
            actor: formatSpiffeId({ trustDomain: loaded.trust_domain, role: 'server', name: loaded.name }),
            action: `ca.${step}`,
            subject: loaded.trust_domain,
            decision: 'done',
            reasons: [],
            ...(force && { comment: 'forced' }),
          }),
        );
        await showRotation(store, loaded);
      }),
    );
}

async function showRotation(store: Store, config: ServerConfig): Promise<void> {
  const { hash, bundle } = await authority(store, config);
  const { stage, waiting } = await store.transaction((tx) => progressOf(contextOf(store, config), tx));
  say(`${stage}: ${bundle.length} trusted, ${hash} issues`);
  if (waiting.length > 0) say(`not ready for the next step: ${waiting.join(', ')}`);
}

function contextOf(store: Store, config: ServerConfig): RotationContext {
  const { data_directory: dataDirectory, trust_domain: trustDomain } = config;
  return { store, dataDirectory, trustDomain, clock: systemClock };
}

function authority(
  store: Store,
  { data_directory, trust_domain }: ServerConfig,
): ReturnType<typeof openAuthority> {
  return openAuthority(store, data_directory, trust_domain, systemClock);
}

async function withStore(
  configFile: string,
  work: (store: Store, config: ServerConfig) => Promise<void>,
): Promise<void> {
  const config = loadConfig(configFile);
  const store = await openSqliteStore(config.data_directory, 'administration');
  try {
    await work(store, config);
  } finally {
    await store.close();
  }
}

function readDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('expected a duration such as 90d');
  return ms;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
