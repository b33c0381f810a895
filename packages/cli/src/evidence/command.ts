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
  localCommand<VerifyOptions>(
    group,
    terminal,
    'verify',
    'appraise one piece of evidence',
    async ({ options, print, style }) => {
      const appraisal = await verifyEvidence(options, terminal.clock, {
        amd: terminal.env['MUSTER_AMD_KEY_SERVICE'],
        intel: terminal.env['MUSTER_INTEL_COLLATERAL_SERVICE'],
        nvidia: terminal.env['MUSTER_NVIDIA_SERVICES'],
      });
      print(appraisalJson(appraisal), () => appraisalText(appraisal, style));
      return exitCodeOf[appraisal.status];
    },
  )
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
    .option('--policy <file>', "a policy file, or the namespace's part of one")
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
