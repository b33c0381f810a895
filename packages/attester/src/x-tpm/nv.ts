import { nvReadCommand, nvReadPublicCommand, nvReadResponse, nvSizeResponse } from './commands.js';
import type { Transact } from './device.js';

/** What a TPM gives at once. */
const bytesPerRead = 1024;

/** The whole content of an NV index. Errors: TpmError, and those of the commands. */
export async function readNv(transact: Transact, index: number): Promise<Buffer> {
  const size = nvSizeResponse(await transact(nvReadPublicCommand(index)));
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < size; offset += bytesPerRead) {
    const length = Math.min(bytesPerRead, size - offset);
    parts.push(nvReadResponse(await transact(nvReadCommand(index, offset, length))));
  }
  return Buffer.concat(parts);
}
