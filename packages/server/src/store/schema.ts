import type { Generated } from 'kysely';

/** Times are Unix milliseconds, flags 0 or 1, lists and objects JSON text: types that SQLite and PostgreSQL share. */
type Millis = number;
type JsonText = string;

/** A site or the server. */
export interface ParticipantRow {
  name: string;
  role: 'site' | 'server';
  /** SubjectPublicKeyInfo of the enrolled key, base64; null until enrolled. */
  public_key: string | null;
  invited_at: Millis;
  enrolled_at: Millis | null;
  /** Reasons of the quarantine; null when not quarantined. */
  quarantine: JsonText | null;
  /** Reasons of what was last wrong with it; `[]` when nothing. */
  last_reasons: JsonText;
  epoch: number;
  /** Of the agent's process in the latest session; null before the first and after it has left in order. */
  boot_id: string | null;
  last_seen_at: Millis | null;
  agent_version: string;
  /** The last sequence number given to a command. */
  last_seq: number;
  /** Every command up to this one is finished. */
  finished_seq: number;
  /** Digest of the CA certificates that its agent trusts, hex; empty when it has not said. */
  trust_bundle: string;
}

/** A CA of the federation: its key and certificate are files of the data directory. */
export interface AuthorityRow {
  /** 1 for the first, and so on. */
  number: number;
  /** `next` is trusted, `active` issues, `previous` is trusted still, `retired` is trusted no more. */
  stage: 'next' | 'active' | 'previous' | 'retired';
  created_at: Millis;
}

/** A certificate that the federation CA issued. */
export interface CertificateRow {
  serial: string;
  role: string;
  name: string;
  /** SHA-256 of the certificate, hex. */
  fingerprint: string;
  issued_at: Millis;
  not_after: Millis;
  revoked_at: Millis | null;
  /** When it first authenticated a call; null for one that may never have arrived. */
  first_used_at: Millis | null;
  /** When a later certificate of the same subject came into use. */
  superseded_at: Millis | null;
  /** The number of the CA that issued it. */
  authority: number;
}

/** A join token, by its hash. */
export interface JoinTokenRow {
  /** SHA-256 of the token, hex. */
  hash: string;
  participant: string;
  kind: 'join' | 'rejoin';
  expires_at: Millis;
  used_at: Millis | null;
  /** SHA-256 of the SubjectPublicKeyInfo that used it, hex. */
  used_by: string | null;
}

/** The key of a TPM that a participant has proven to hold: an attestation key beside an endorsement key. */
export interface TpmKeyRow {
  participant: string;
  /** TPM2B_PUBLIC, base64. */
  attestation_key: string;
  /** The endorsement key's certificate and those of its issuers, a list of DER in base64. */
  endorsement_certificates: JsonText;
}

/** A verified token: one per participant and namespace. */
export interface TokenRow {
  participant: string;
  namespace: string;
  jws: string;
  issued_at: Millis;
  expires_at: Millis;
  appraised_at: Millis;
  appraisal: JsonText;
  /** The signed attestation result, compact. */
  ear: string;
  /** SHA-256 of the evidence, hex. */
  evidence_digest: string;
  /** What verified it: `{certificates, crls}`, each a list of DER in base64. */
  endorsements: JsonText;
}

/** A job; `state` is the state of the pure decision. */
export interface JobRow {
  id: string;
  /** Orders jobs by submission. */
  position: Generated<number>;
  phase: string;
  state: JsonText;
  created_at: Millis;
  updated_at: Millis;
}

/** A durable command. */
export interface CommandRow {
  participant: string;
  seq: number;
  id: string;
  kind: string;
  job_id: string | null;
  generation: number | null;
  /** A muster.v1.Command, base64. */
  payload: string;
  created_at: Millis;
  /** APPLIED, FAILED or REJECTED; null until finished. */
  outcome: string | null;
  outcome_reasons: JsonText | null;
  finished_at: Millis | null;
}

/** A record of the hash-chained audit log. */
export interface AuditRow {
  seq: number;
  content: string;
  hash: string;
  previous_hash: string;
}

/** Single values: `log_id`. */
export interface SettingRow {
  key: string;
  value: string;
}

/** The tables, by name. */
export interface Schema {
  participants: ParticipantRow;
  authorities: AuthorityRow;
  certificates: CertificateRow;
  join_tokens: JoinTokenRow;
  tpm_keys: TpmKeyRow;
  tokens: TokenRow;
  jobs: JobRow;
  commands: CommandRow;
  audit: AuditRow;
  settings: SettingRow;
}
