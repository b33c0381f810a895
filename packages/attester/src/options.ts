import { duration } from '@muster/shared/config/duration.js';

/** What the configuration of every attester has beside its namespace and its device. */
export const commonOptions = {
  /** How long the device may take, ms. */
  timeout: duration('100ms', '2m').default(15_000),
  /** How long the tokens made of its evidence live, ms. */
  token_lifetime: duration('5s', '24h').default(600_000),
};
