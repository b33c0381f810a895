import { failed } from './failure.js';

/** A device that a library hands out evidence of. */
export interface LibraryDevice {
  /** As its result will be named, such as `GPU-0` or `SWITCH-1`. */
  readonly name: string;
}

/** A vendor's library through which devices attest themselves. Every failed call says in plain words what failed. */
export interface DeviceLibrary<Device extends LibraryDevice> {
  /** The devices of this machine, in the library's order. */
  devices(): Promise<readonly Device[]>;
  /** The certificate chain of a device, PEM. */
  certificates(device: Device): Promise<Uint8Array>;
  /** The SPDM request with this nonce of 32 bytes, and the device's response. */
  report(device: Device, nonce: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What a library wrote into memory of its own size, by the length that it says. */
export function filledPart(device: string, memory: Uint8Array, length: number): Uint8Array {
  if (length === 0 || length > memory.length) {
    throw failed(`the library returned ${length} bytes; 1 to ${memory.length} are possible.`, { device });
  }
  return Uint8Array.from(memory.subarray(0, length));
}
