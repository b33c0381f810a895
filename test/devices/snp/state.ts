import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as z from 'zod';

const hex = (bytes: number): z.ZodType<string> => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const component = z.int().min(0).max(255);

const stateSchema = z.strictObject({
  /** How the device behaves: as it should; never answers; keeps whoever reads in the kernel; fails each read; answers with noise; signs with another key. */
  mode: z.enum(['ok', 'hang', 'block', 'fail', 'garbage', 'forged']).default('ok'),
  measurement: hex(48).default('5a'.repeat(48)),
  hostData: hex(32).default('00'.repeat(32)),
  chipId: hex(64),
  vmpl: z.int().min(0).max(3).default(0),
  /** The guest policy, hex. */
  policy: z
    .string()
    .regex(/^0x[0-9a-f]{1,16}$/)
    .default('0x3001f'),
  tcb: z
    .strictObject({ bootloader: component, tee: component, snp: component, microcode: component })
    .default({ bootloader: 4, tee: 0, snp: 24, microcode: 219 }),
  /** The version of the report's format. */
  version: z.union([z.literal(2), z.literal(3), z.literal(5)]).default(3),
});

/** What a simulated device is and does; read anew for every report. */
export type DeviceState = z.output<typeof stateSchema>;
/** A state with whatever has a default left out. */
export type DeviceStateInput = z.input<typeof stateSchema>;

/** Reads a state file. Throws when it is not valid. */
export function readState(file: string): DeviceState {
  return stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

/** Writes a state file in one step, so that a device never sees half of it. */
export function writeState(file: string, state: DeviceStateInput): void {
  const text = JSON.stringify(stateSchema.parse(state), undefined, 2);
  writeFileSync(`${file}.new`, `${text}\n`);
  renameSync(`${file}.new`, file);
}
