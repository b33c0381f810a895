import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import type { FailureKind } from '@muster/shared/policy/responses.js';
import type { Reason } from '@muster/shared/reasons.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import type { Audit, Failures, RegisteredToken } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { Grouped } from '../store/grouped.js';
import type { Store, Transaction } from '../store/store.js';
import type { EvidenceDigests } from './appraisal.js';

/** What was found about a participant. */
export type Finding =
  | { readonly type: 'accepted'; readonly tokens: readonly RegisteredToken[] }
  /** `tokens` are those that still count. */
  | {
      readonly type: 'failed';
      readonly kind: FailureKind;
      readonly reasons: readonly Reason[];
      readonly tokens: readonly RegisteredToken[];
      readonly evidence?: EvidenceDigests;
    }
  /** The tokens held stay as they are. */
  | { readonly type: 'deferred'; readonly reasons: readonly Reason[] };

/** On what condition a finding is recorded. */
export interface Condition {
  /** The session's epoch must still be the newest. */
  readonly epoch?: number;
  /** The registry must still hold the tokens that were looked at. */
  readonly tokens?: readonly RegisteredToken[];
}

/** What findings are recorded with. */
export interface VerdictBookOptions {
  readonly registry: ParticipantRegistry;
  readonly store: Store;
  readonly audit: Audit;
  readonly failures: Failures;
  readonly logger: Logger;
  readonly trustDomain: string;
}

/** Records findings in the registry and in the audit log, in one transaction; then has failures answered. */
export class VerdictBook {
  readonly #options: VerdictBookOptions;
  readonly #grouped: Grouped<boolean>;

  constructor(options: VerdictBookOptions) {
    this.#options = options;
    this.#grouped = new Grouped(options.store);
  }

  /** False when the participant is gone or its tokens have changed meanwhile. Errors: SESSION_FENCED, STORE_*. */
  async record(name: string, finding: Finding, condition: Condition = {}): Promise<boolean> {
    const { registry } = this.#options;
    const recorded = await this.#grouped.run({
      key: name,
      run: async (tx) => {
        const held = registry.find(name)?.tokens;
        if (held === undefined || !sameTokens(held, condition.tokens ?? held)) return false;
        await this.#write(tx, name, finding, condition.epoch);
        return true;
      },
    });
    if (recorded) await this.#tell(name, finding);
    return recorded;
  }

  async #write(tx: Transaction, name: string, finding: Finding, epoch: number | undefined): Promise<void> {
    const { registry } = this.#options;
    if (finding.type === 'deferred') return registry.setReasons(tx, name, finding.reasons, epoch);
    const reasons = finding.type === 'failed' ? finding.reasons : [];
    await registry.setTokens(tx, name, finding.tokens, reasons, epoch);
    return this.#audit(tx, name, finding, reasons);
  }

  async #audit(
    tx: Transaction,
    name: string,
    finding: Exclude<Finding, { type: 'deferred' }>,
    reasons: readonly Reason[],
  ): Promise<void> {
    const { audit, registry, trustDomain } = this.#options;
    const role = registry.find(name)?.role ?? 'site';
    const accepted = finding.type === 'accepted';
    const digests = accepted
      ? Object.fromEntries(finding.tokens.map((token) => [token.namespace, token.evidenceDigest]))
      : finding.evidence;
    await audit.append(tx, {
      actor: formatSpiffeId({ trustDomain, role, name }),
      action: 'participant.attest',
      subject: name,
      decision: accepted ? 'allowed' : 'refused',
      reasons,
      ...(digests !== undefined && { evidence: digests }),
    });
  }

  async #tell(participant: string, finding: Finding): Promise<void> {
    const { logger, failures } = this.#options;
    if (finding.type === 'accepted') {
      const evidence = finding.tokens.map(({ evidenceDigest }) => evidenceDigest);
      logger.info('attestation.accepted', { participant, evidence });
      return;
    }
    const fields = { participant, reasons: finding.reasons.map(({ code }) => code) };
    if (finding.type === 'deferred') {
      logger.warn('attestation.deferred', fields);
      return;
    }
    const kind = this.#kindFor(participant, finding.kind);
    logger.warn('attestation.rejected', { ...fields, kind });
    try {
      await failures.report({ kind, participant, reasons: finding.reasons });
    } catch (error) {
      logger.error('attestation.failed', { ...fields, ...errorFields(error) });
    }
  }

  /** Whatever ends the server's own proof is one kind of failure; a device that fails while a token stands does not. */
  #kindFor(participant: string, kind: FailureKind): FailureKind {
    const server = this.#options.registry.find(participant)?.role === 'server';
    return server && kind !== 'attester_failed' ? 'server_unproven' : kind;
  }
}

function sameTokens(held: readonly RegisteredToken[], expected: readonly RegisteredToken[]): boolean {
  return held.length === expected.length && held.every(({ jws }, index) => jws === expected[index]?.jws);
}
