#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';

// An agent mostly waits, in a VM whose memory is the job's: small before fast. The space for young objects does not
// grow (its largest size is fixed before this runs), and nothing is optimised: what is costly in verifying is native code.
const flags = ['--semi-space-growth-factor=1', '--optimize-for-size', '--no-opt'];
for (const flag of flags) setFlagsFromString(flag);
await import('../dist/main.js');
