import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';

/** Evidence that is affirmed, with everything that its verification depends on. */
export interface Subject {
  /** As the table names it. */
  readonly name: string;
  readonly input: AppraisalInput<unknown>;
  /** What the signatures' rate must be reached by, with endorsements warm. */
  readonly aim?: number;
}
