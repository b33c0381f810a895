type Meanings = ReadonlyMap<number, readonly [name: string, meaning: string]>;

/** What NVML's return codes mean for attestation (nvml.h, nvmlReturn_t). */
const meanings: Meanings = new Map([
  [1, ['UNINITIALIZED', 'the library was not initialized']],
  [2, ['INVALID_ARGUMENT', 'the library refuses an argument']],
  [3, ['NOT_SUPPORTED', 'the GPU or its driver does not support confidential computing']],
  [4, ['NO_PERMISSION', 'this user may not use the GPU']],
  [5, ['ALREADY_INITIALIZED', 'the library was initialized twice']],
  [6, ['NOT_FOUND', 'the GPU was not found']],
  [7, ['INSUFFICIENT_SIZE', 'the answer does not fit the structure; update Muster']],
  [8, ['INSUFFICIENT_POWER', 'the GPU lacks external power']],
  [9, ['DRIVER_NOT_LOADED', 'the NVIDIA driver is not loaded; load it, and see dmesg']],
  [10, ['TIMEOUT', 'the GPU did not answer in time']],
  [11, ['IRQ_ISSUE', 'the kernel has trouble with an interrupt of the GPU']],
  [12, ['LIBRARY_NOT_FOUND', 'a library that NVML needs is missing']],
  [13, ['FUNCTION_NOT_FOUND', 'the driver is too old for confidential computing; update it']],
  [14, ['CORRUPTED_INFOROM', "the GPU's InfoROM is corrupted"]],
  [15, ['GPU_IS_LOST', 'the GPU fell off the bus; restart the machine']],
  [16, ['RESET_REQUIRED', 'the GPU needs a reset before it can be used']],
  [17, ['OPERATING_SYSTEM', 'the operating system or cgroups keep the GPU back']],
  [
    18,
    ['LIB_RM_VERSION_MISMATCH', 'library and kernel driver are of different versions; reinstall the driver'],
  ],
  [19, ['IN_USE', 'the GPU is in use']],
  [20, ['MEMORY', 'there is not enough memory']],
  [21, ['NO_DATA', 'the GPU has no data']],
  [22, ['VGPU_ECC_NOT_SUPPORTED', 'a virtual GPU cannot do this while ECC is on']],
  [23, ['INSUFFICIENT_RESOURCES', 'the GPU ran out of a resource']],
  [24, ['FREQ_NOT_SUPPORTED', 'the GPU does not support the frequency']],
  [25, ['ARGUMENT_VERSION_MISMATCH', 'the driver does not know this version of a structure; update it']],
  [26, ['DEPRECATED', 'the driver no longer offers this function']],
  [27, ['NOT_READY', 'the GPU is not ready; try again']],
  [28, ['GPU_NOT_FOUND', 'there is no GPU']],
  [29, ['INVALID_STATE', 'the GPU is not in a state to attest itself']],
  [30, ['RESET_TYPE_NOT_SUPPORTED', 'the GPU does not support the reset']],
  [999, ['UNKNOWN', 'the driver met an internal error; see dmesg']],
]);

/** What NSCQ's errors mean (nscq_attestation.h, NSCQ_RC_ERROR_...). Codes above 0 are warnings. */
const nscqMeanings: Meanings = new Map([
  [-1, ['NOT_IMPLEMENTED', 'the library does not offer this; update it']],
  [-2, ['INVALID_UUID', 'the library does not know the switch']],
  [-3, ['RESOURCE_NOT_MOUNTABLE', 'the switch cannot be used; see dmesg']],
  [-4, ['OVERFLOW', 'the answer does not fit the structure; update Muster']],
  [-5, ['UNEXPECTED_VALUE', 'the library does not understand what it was asked or told']],
  [-6, ['UNSUPPORTED_DRV', 'library and driver are of different versions; reinstall both']],
  [-7, ['DRV', 'the driver of the switches failed; see dmesg']],
  [-8, ['TIMEOUT', 'the switch did not answer in time']],
  [-127, ['EXT', 'the library could not be used']],
  [-128, ['UNSPECIFIED', 'the library met an error that it does not name']],
]);

/** A return code in words, for example `the GPU needs a reset before it can be used (NVML_ERROR_RESET_REQUIRED, 16)`. */
export function describeReturn(code: number): string {
  return describe(code, meanings, 'NVML_ERROR_');
}

/** An error code of NSCQ in words, for example `the switch did not answer in time (NSCQ_RC_ERROR_TIMEOUT, -8)`. */
export function describeNscqReturn(code: number): string {
  return describe(code, nscqMeanings, 'NSCQ_RC_ERROR_');
}

function describe(code: number, known: Meanings, prefix: string): string {
  const found = known.get(code);
  if (found === undefined) return `the library gave a code that is not known (unnamed, ${code})`;
  const [name, meaning] = found;
  return `${meaning} (${prefix}${name}, ${code})`;
}
