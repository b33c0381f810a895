import type { Duration } from '../gen/google/protobuf/duration.js';

/** Milliseconds as google.protobuf.Duration. */
export function toDuration(ms: number): Duration {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1e6) };
}

/** google.protobuf.Duration as milliseconds; undefined when it is unset. */
export function fromDuration(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
