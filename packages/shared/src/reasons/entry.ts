/** The gRPC status names that a refused call can end with. */
export type ReasonStatus =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'RESOURCE_EXHAUSTED'
  | 'DEADLINE_EXCEEDED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL';

/** What the catalogue says of one code. */
export interface ReasonEntry {
  /** The gRPC status that a call ends with when this is its primary reason. */
  readonly status: ReasonStatus;
  /** One sentence: what was found, without the particulars. */
  readonly summary: string;
  /** One sentence: what to do about it. */
  readonly remedy: string;
}
