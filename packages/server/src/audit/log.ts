import { canonicalJson } from '@muster/shared/audit/canonical-json.js';
import { chainHash } from '@muster/shared/audit/chain.js';
import type { Clock } from '@muster/shared/clock.js';
import type { Json } from '@muster/shared/evidence/appraisal.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { Audit, AuditEntry } from '../ports.js';
import { auditHead, insertAuditRecord } from '../store/audit.js';

/**
 * The audit log. A record is written in the transaction of the decision that it tells of, so that there is no decision
 * without its record and no record of a decision that was rolled back. docs/audit.md describes the content.
 */
export function auditLog(clock: Clock): Audit {
  return {
    async append(tx, entry) {
      const head = await auditHead(tx);
      const seq = head.seq + 1;
      const content = canonicalJson({ seq, at: clock.now().toISOString(), ...contentOf(entry) });
      const hash = chainHash(head.hash, content);
      await insertAuditRecord(tx, { seq, content, hash, previous_hash: head.hash });
    },
  };
}

function contentOf(entry: AuditEntry): Record<string, Json> {
  return {
    actor: entry.actor,
    action: entry.action,
    subject: entry.subject,
    decision: entry.decision,
    reasons: entry.reasons.map(reasonContent),
    ...(entry.evidence !== undefined && { evidence: entry.evidence }),
    ...(entry.comment !== undefined && entry.comment !== '' && { comment: entry.comment }),
  };
}

/** The remedy is left out: it says what to do, not what was decided. */
function reasonContent({ code, message, participant, namespace, path }: Reason): Json {
  return {
    code,
    message,
    ...(participant !== undefined && { participant }),
    ...(namespace !== undefined && { namespace }),
    ...(path !== undefined && { path }),
  };
}
