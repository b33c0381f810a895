import type { ReasonEntry } from '../../reasons/entry.js';

const malformed = 'INVALID_ARGUMENT';
const refused = 'PERMISSION_DENIED';
const missing = 'FAILED_PRECONDITION';

const tokenAnew = 'Fetch a new token from the service with the nonce of this challenge.';

/** The reasons of attestation services' tokens. docs/attestation-services.md explains them. */
export const serviceTokenReasons = {
  SERVICE_CLOCK_INVALID: {
    status: malformed,
    summary: 'The time to verify at is not a valid date.',
    remedy: 'Verify at a valid date.',
  },
  SERVICE_TOKEN_UNREADABLE: {
    status: malformed,
    summary: 'The evidence is not a token of this attestation service.',
    remedy: 'Send what the service answered as it is.',
  },
  SERVICE_ISSUER_UNTRUSTED: {
    status: refused,
    summary: 'The policy names no such issuer.',
    remedy: 'Use the service that the policy names under issuers, or add this one with its keys.',
  },
  SERVICE_KEY_MISSING: {
    status: missing,
    summary: "The service's key that the token names is not at hand.",
    remedy: "Pin the service's key set in the policy, or let the verifier reach the service.",
  },
  SERVICE_ALGORITHM: {
    status: refused,
    summary: 'The token is signed by an algorithm that this service does not use.',
    remedy: 'Send what the service answered as it is.',
  },
  SERVICE_SIGNATURE: {
    status: refused,
    summary: "The token's signature does not hold under the service's key.",
    remedy: 'Send what the service answered as it is.',
  },
  SERVICE_TOKEN_EXPIRED: {
    status: refused,
    summary: "The service's token has expired.",
    remedy: tokenAnew,
  },
  SERVICE_TOKEN_NOT_YET_VALID: {
    status: refused,
    summary: "The service's token is not valid yet.",
    remedy: 'Correct the clock of this machine.',
  },
  SERVICE_NONCE_MISSING: {
    status: refused,
    summary: 'The token carries no nonce.',
    remedy: tokenAnew,
  },
  SERVICE_NONCE: {
    status: refused,
    summary: "The token does not answer the verifier's nonce.",
    remedy: tokenAnew,
  },
  SERVICE_CLAIM: {
    status: refused,
    summary: 'A claim of the token has a value that the policy does not allow.',
    remedy: 'Bring the machine into the state that the policy asks for, or allow the value.',
  },
  SERVICE_TCB_STATUS: {
    status: refused,
    summary: "The service finds the platform's TCB in a state that the policy does not allow.",
    remedy: "Update the platform's firmware, or allow the state in the policy.",
  },
  SERVICE_DEBUG: {
    status: refused,
    summary: 'The machine can be debugged, so that nothing in it is confidential.',
    remedy: 'Start it with debugging disabled.',
  },
  SERVICE_RESULT: {
    status: refused,
    summary: "The service's own appraisal did not affirm the machine.",
    remedy: 'See the claims for what the service found, and correct that.',
  },
  SERVICE_DEVICES: {
    status: refused,
    summary: 'The tokens of the devices are not those that the overall token names.',
    remedy: 'Send what the service answered as it is, with one token for each device.',
  },
  SERVICE_DEVICE: {
    status: refused,
    summary: 'The service found something wrong with a device.',
    remedy: 'See the claims for what the service found, and correct that.',
  },
  SERVICE_DEVICE_WARNING: {
    status: refused,
    summary: 'The service warns about a device.',
    remedy: "Read the service's warning in the claims.",
  },
} as const satisfies Record<string, ReasonEntry>;
