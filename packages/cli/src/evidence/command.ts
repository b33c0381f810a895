import type { VendorUrls } from '@muster/shared/endorsements/vendor-services.js';
import type { TrustTier } from '@muster/shared/evidence/appraisal.js';
import type { Command } from 'commander';
import { localCommand } from '../command.js';
import { exitCodes, type ExitCode, type Terminal } from '../terminal.js';
import { appraisalJson, appraisalText } from './render.js';
import { verifyEvidence, type VerifyOptions } from './verify.js';

const exitCodeOf: Readonly<Record<TrustTier, ExitCode>> = {
  affirming: exitCodes.done,
  warning: exitCodes.warning,
  contraindicated: exitCodes.refused,
  none: exitCodes.refused,
};

/** `muster evidence verify` */
export function registerEvidenceCommands(program: Command, terminal: Terminal): void {
  const group = program.command('evidence').description('evidence of hardware, without a server');
  const verify = localCommand<VerifyOptions>(
    group,
    terminal,
    'verify',
    'appraise one piece of evidence',
    async ({ options, print, style }) => {
      const appraisal = await verifyEvidence(options, terminal.clock, vendorUrls(terminal));
      print(appraisalJson(appraisal), () => appraisalText(appraisal, style));
      return exitCodeOf[appraisal.status];
    },
  );
  evidenceOptions(verify).option('--policy <file>', "a policy file, or the namespace's part of one");
}

/** Where the vendors' services are, for whom it is not where they are for everybody. */
export function vendorUrls({ env }: Terminal): VendorUrls {
  return {
    amd: env['MUSTER_AMD_KEY_SERVICE'],
    intel: env['MUSTER_INTEL_COLLATERAL_SERVICE'],
    nvidia: env['MUSTER_NVIDIA_SERVICES'],
  };
}

/** Adds the options that say what is appraised and with what; {@link AppraiseOptions} holds them. */
export function evidenceOptions(command: Command): Command {
  return command
    .requiredOption('--namespace <name>', 'the kind of evidence, such as x-snp')
    .requiredOption('--evidence <file>', 'the evidence as the device gave it')
    .option('--cert <file>', 'certificates, PEM or DER, one or several a file; may be repeated', collect)
    .option(
      '--signature <file>',
      "for x-tpm: the signature of a quote in a file; then --cert is the TPM's key",
    )
    .option('--jwks <file>', 'the keys of an attestation service, a JSON Web Key Set')
    .option(
      '--collateral <file>',
      'for x-snp a certificate revocation list, PEM or DER; for x-tdx the collateral as one JSON object; for x-nv-gpu OCSP responses, DER or base64 a line',
    )
    .option(
      '--rim <file>',
      'a reference integrity manifest, where the namespace has them; may be repeated',
      collect,
    )
    .option(
      '--nonce <hex>',
      "what the evidence must be bound to; for x-snp the report data, for x-nv-gpu the report's 32 bytes",
    )
    .option('--at <time>', 'judge it at this time (RFC 3339) instead of now')
    .option('--offline', "do not ask the vendor's service for what is missing")
    .option('--endorsements <directory>', "a directory that mirrors the vendors' services")
    .option(
      '--simulated-root <sha256>',
      'trust a simulated root, by the SHA-256 of its public key; may be repeated',
      collect,
    );
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
