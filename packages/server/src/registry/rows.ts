import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import { knownDocuments, mergeEndorsements } from '@muster/shared/evidence/endorsements.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { RegisteredParticipant, RegisteredToken } from '../ports.js';
import type { ParticipantRow, TokenRow } from '../store/schema.js';

/** A participant as the store remembers it: not connected, with these tokens. */
export function fromParticipantRow(
  row: ParticipantRow,
  tokens: readonly RegisteredToken[],
): RegisteredParticipant {
  return {
    name: row.name,
    role: row.role,
    ...(row.enrolled_at !== null && { enrolledAt: new Date(row.enrolled_at) }),
    ...(row.public_key !== null && { publicKey: fromBase64(row.public_key) }),
    ...(row.quarantine !== null && { quarantine: JSON.parse(row.quarantine) as Reason[] }),
    lastReasons: JSON.parse(row.last_reasons) as Reason[],
    connected: false,
    silent: false,
    ...(row.last_seen_at !== null && { lastSeenAt: new Date(row.last_seen_at) }),
    epoch: row.epoch,
    agentVersion: row.agent_version,
    tokens,
  };
}

/** A token as the store keeps it. */
export function toTokenRow(participant: string, token: RegisteredToken): TokenRow {
  const { certificates, crls, documents } = mergeEndorsements(token.endorsements);
  return {
    participant,
    namespace: token.namespace,
    jws: token.jws,
    issued_at: token.issuedAt.getTime(),
    expires_at: token.expiresAt.getTime(),
    appraised_at: token.appraisedAt.getTime(),
    appraisal: JSON.stringify(token.appraisal),
    ear: token.ear,
    evidence_digest: token.evidenceDigest,
    endorsements: JSON.stringify({
      certificates: certificates.map(toBase64),
      crls: crls.map(toBase64),
      documents: documents.map(({ kind, content }) => ({ kind, content: toBase64(content) })),
    }),
  };
}

/** A token from the store. */
export function fromTokenRow(row: TokenRow): RegisteredToken {
  const stored = JSON.parse(row.endorsements) as StoredEndorsements;
  return {
    namespace: row.namespace,
    jws: row.jws,
    issuedAt: new Date(row.issued_at),
    expiresAt: new Date(row.expires_at),
    appraisedAt: new Date(row.appraised_at),
    appraisal: JSON.parse(row.appraisal) as Appraisal,
    ear: row.ear,
    evidenceDigest: row.evidence_digest,
    endorsements: {
      certificates: stored.certificates.map(fromBase64),
      crls: stored.crls.map(fromBase64),
      documents: knownDocuments(
        (stored.documents ?? []).map(({ kind, content }) => ({ kind, content: fromBase64(content) })),
      ),
    },
  };
}

/** Endorsements as the store keeps them, bytes in base64. */
interface StoredEndorsements {
  readonly certificates: readonly string[];
  readonly crls: readonly string[];
  readonly documents?: readonly { readonly kind: string; readonly content: string }[];
}

/** Bytes as the store keeps them. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
