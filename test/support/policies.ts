import type { Policy } from '@muster/shared/policy/policy.js';
import { presets } from '@muster/shared/policy/responses.js';

/** A policy for tests: the server and every site must prove the namespace `x-a`. */
export function testPolicy(changes: Partial<Policy> = {}): Policy {
  return {
    servers: [{ name: '*', require: ['x-a'] }],
    sites: [{ name: '*', require: ['x-a'] }],
    token_lifetime: 600_000,
    clock_leeway: 30_000,
    accept_warning: false,
    byoc: false,
    responses: presets.SHUTDOWN_JOB,
    namespaces: {},
    rules: [],
    ...changes,
  };
}
