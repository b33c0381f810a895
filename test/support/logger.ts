import type { Logger } from '@muster/shared/logging/logger.js';

/** A logger that drops everything. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
