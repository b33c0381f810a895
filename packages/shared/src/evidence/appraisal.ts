import type { JSONWebKeySet } from 'jose';
import type * as z from 'zod';
import type { Reason } from '../reasons.js';

/** The tiers of an attestation result (draft-ietf-rats-ar4si, section 2.3.2). */
export type TrustTier = 'none' | 'affirming' | 'warning' | 'contraindicated';

/** JSON as it appears in claims. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What an attester collected for one namespace. */
export interface Evidence {
  readonly namespace: string;
  /** The evidence in the namespace's own format, for example an SNP report of 1184 bytes. */
  readonly evidence: Uint8Array;
  /** What the device delivered beside it, for example the SNP certificate table. Untrusted until verified. */
  readonly auxiliary?: Uint8Array;
}

/** What a verifier needs beside the evidence; everything in it is signed by a hardware vendor. */
export interface Endorsements {
  /** X.509 certificates, DER, in any order; unrelated ones are ignored. */
  readonly certificates: readonly Uint8Array[];
  /** Certificate revocation lists, DER. */
  readonly crls: readonly Uint8Array[];
  /** Signed documents of other kinds, exactly as their vendor serves them. */
  readonly documents?: readonly EndorsementDocument[];
}

/** A document that a vendor signed: kept as bytes, because its signature covers them. */
export interface EndorsementDocument {
  readonly kind: 'tdx-tcb-info' | 'tdx-qe-identity' | 'nvidia-rim' | 'ocsp';
  readonly content: Uint8Array;
}

/** One endorsement that a verifier wants, named by the path at its vendor's service. */
export interface EndorsementQuery {
  readonly vendor: 'amd' | 'intel' | 'nvidia' | 'tpm';
  readonly kind: 'certificates' | 'crl' | EndorsementDocument['kind'];
  /** Path and query below the vendor's service, for example `vcek/v1/Milan/crl`. */
  readonly path: string;
}

/** A root that is trusted beside the vendors' pinned ones, for simulated devices. Only configuration adds one. */
export interface SimulatedRoot {
  readonly namespace: string;
  /** SHA-256 over the root's SubjectPublicKeyInfo, lower-case hex. */
  readonly fingerprint: string;
}

/**
 * The keys of an attestation service. They carry no signature of a vendor, so that a verifier takes them from its own
 * configuration or fetches them itself: what an attester or another verifier delivers is never among them.
 */
export interface ServiceKeys {
  /** The `iss` of the tokens that these keys sign. */
  readonly issuer: string;
  readonly keys: JSONWebKeySet;
}

/** The federation of a verifier, whose CA vouches for what was proven to its server alone. */
export interface FederationContext {
  /** The SPIFFE id of the participant whose evidence is appraised. */
  readonly participant: string;
  /** The certificates of the federation's CAs, DER. */
  readonly roots: readonly Uint8Array[];
}

/** Everything that an appraisal depends on. */
export interface AppraisalInput<Policy> {
  readonly evidence: Evidence;
  readonly endorsements: Endorsements;
  /** The 64 bytes that the evidence must carry; undefined only where no binding can be known (offline verification). */
  readonly reportData?: Uint8Array;
  /**
   * What the evidence must answer in the namespace's own terms, where that is not report data: for an auditor who knows
   * nothing but the nonce. It takes the place of `reportData`.
   */
  readonly nonce?: Uint8Array;
  /** The evidence of the participant's other namespaces that answers the same nonce. */
  readonly related?: readonly Evidence[];
  readonly policy: Policy;
  /** The time to verify at. An invalid date is refused. */
  readonly at: Date;
  readonly simulatedRoots: readonly SimulatedRoot[];
  /** Keys of attestation services, beside those that the policy pins. */
  readonly serviceKeys?: readonly ServiceKeys[];
  /** Absent where the verifier is of no federation (offline verification). */
  readonly federation?: FederationContext;
}

/** The result of an appraisal. */
export interface Appraisal {
  readonly namespace: string;
  readonly status: TrustTier;
  /** Empty when affirming. */
  readonly reasons: readonly Reason[];
  /** What the evidence says, in the namespace's own terms; shown even when refused, as far as it could be read. */
  readonly claims: { readonly [key: string]: Json };
  /** Checks that could not be made with the endorsements at hand and that the policy does not insist on. */
  readonly unchecked: readonly string[];
  /** The trustworthiness vector of the EAR (draft-ietf-rats-ar4si, section 2.3.4), by claim name. */
  readonly trustworthiness: { readonly [claim: string]: number };
  /** True when the evidence chains to a simulated root. */
  readonly simulated: boolean;
  /** The result for each device, where the evidence is about several; the appraisal is that of all together. */
  readonly devices?: readonly DeviceAppraisal[];
}

/** The result for one device; its name is unique in its appraisal, and what reasons about it have as path. */
export interface DeviceAppraisal extends Omit<Appraisal, 'namespace' | 'devices'> {
  readonly name: string;
}

/**
 * The verifier of one namespace. Pure: no I/O, no clock of its own, and it never throws on hostile input. One that
 * never has to let others have their turn says so by `Result`; callers that do not know which they have await.
 */
export interface EvidenceVerifier<Policy = unknown, Result = Appraisal | Promise<Appraisal>> {
  readonly namespace: string;
  /**
   * The namespace's part of the policy file; its parse of `{}` is the default policy. Where a vendor has revocation
   * information, the field `revocation`, `required` by default, says whether it must be at hand.
   */
  readonly policySchema: z.ZodType<Policy>;
  /** The endorsements worth fetching for this evidence, given those at hand; empty when nothing more can be had. */
  endorsementQueries(
    evidence: Evidence,
    atHand: Endorsements,
  ): readonly EndorsementQuery[] | Promise<readonly EndorsementQuery[]>;
  appraise(input: AppraisalInput<Policy>): Result;
}
