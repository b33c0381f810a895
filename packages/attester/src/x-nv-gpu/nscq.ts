import { failed } from './failure.js';
import { filledPart, type DeviceLibrary, type LibraryDevice } from './library.js';
import { nscqSizes, nscqTypes } from './nscq-abi.js';
import { describeNscqReturn } from './return-codes.js';

/** A switch of this machine. */
export interface Switch extends LibraryDevice {
  /** How the library names it in its paths. */
  readonly label: string;
}

/** NSCQ_SESSION_CREATE_MOUNT_DEVICES */
const mountDevices = 1;
const uuidPath = '/drv/nvswitch/{device}/uuid';

/**
 * Loads NSCQ and begins a session, in which all switches of the machine are mounted. Calls run on threads of their own.
 * Values are observed: the library calls back, within the call, with a code and the value. Codes above 0 are warnings.
 * Errors: ATTESTATION_GENERATION_FAILED.
 */
export async function openNscq(library: string): Promise<DeviceLibrary<Switch>> {
  const { koffi, sessionResult, uuid, callbacks } = await nscqTypes();
  type Type = typeof uuid | 'void *' | 'str' | 'void' | 'int8_t' | 'uint32_t';
  const loaded = load();

  function load(): ReturnType<typeof koffi.load> {
    try {
      return koffi.load(library);
    } catch (error) {
      throw failed(`${library} cannot be loaded; install NVIDIA's NSCQ, in the driver's version.`, {
        cause: error,
      });
    }
  }

  function bind(name: string, returns: Type, types: readonly Type[]): ReturnType<typeof loaded.func> {
    try {
      return loaded.func(name, returns, [...types]);
    } catch (error) {
      throw failed(`${library} has no ${name}; update it.`, { cause: error });
    }
  }

  async function call(
    name: string,
    returns: Type,
    types: readonly Type[],
    args: readonly unknown[],
  ): Promise<unknown> {
    const bound = bind(name, returns, types);
    return await new Promise((resolve, reject) => {
      bound.async(...args, (error: Error | null, result: unknown) => {
        if (error === null) resolve(result);
        else reject(error);
      });
    });
  }

  function demand(what: string, code: unknown, device?: string): void {
    if (typeof code === 'number' && code >= 0) return;
    throw failed(`${what}: ${describeNscqReturn(Number(code))}.`, device === undefined ? {} : { device });
  }

  /** Observes a path; `copy` takes what must not outlive the callback. It must not throw: nobody would learn of it. */
  async function observe(
    path: string,
    callback: typeof uuid,
    {
      copy = (value: unknown) => value,
      device,
    }: { copy?: (value: unknown) => unknown; device?: string } = {},
  ): Promise<readonly unknown[]> {
    const observed: { readonly code: unknown; readonly value: unknown }[] = [];
    const registered = koffi.register((_switch: unknown, code: unknown, value: unknown) => {
      observed.push({ code, value: copy(value) });
    }, callback);
    try {
      const types = ['void *', 'str', callback, 'void *', 'uint32_t'] as const;
      const args = [session, path, registered, null, 0];
      demand(path, await call('nscq_session_path_observe', 'int8_t', types, args), device);
    } finally {
      koffi.unregister(registered);
    }
    return observed.map(({ code, value }) => {
      demand(path, code, device);
      return value;
    });
  }

  /** A value of one switch, which the library gives exactly once. */
  async function valueOf({ name, label }: Switch, part: string, callback: typeof uuid): Promise<unknown> {
    const path = `/${label}/config/${part}`;
    const [value, ...more] = await observe(path, callback, { device: name });
    if (value === undefined || more.length > 0) throw failed(`${path}: no single answer.`, { device: name });
    return value;
  }

  async function labelOf(id: unknown, device: string): Promise<string> {
    if (!(id instanceof Uint8Array)) throw failed('the library names a switch without a UUID.', { device });
    const label = Buffer.alloc(nscqSizes.label);
    const args = [Buffer.from(id), label, 0];
    const code = await call('nscq_uuid_to_label', 'int8_t', ['void *', 'void *', 'uint32_t'], args);
    demand('nscq_uuid_to_label', code, device);
    return label.toString('latin1').replace(/\0.*$/s, '');
  }

  const begun = (await call('nscq_session_create', sessionResult, ['uint32_t'], [mountDevices])) as {
    readonly rc: number;
    readonly session: unknown;
  };
  demand('nscq_session_create', begun.rc);
  const { session } = begun;
  if (session === null) throw failed('nscq_session_create: there is no session.');

  return {
    async devices() {
      const copy = (id: unknown): unknown => (id === null ? undefined : koffi.decode(id, uuid));
      const ids = await observe(uuidPath, callbacks.uuid, { copy });
      const switches: Switch[] = [];
      for (const [index, id] of ids.entries()) {
        const name = `SWITCH-${index}`;
        switches.push({ name, label: await labelOf(id, name) });
      }
      return switches;
    },
    async certificates(device) {
      const value = await valueOf(device, 'certificate', callbacks.certificate);
      const { cert_chain, cert_chain_size } = value as { cert_chain: Uint8Array; cert_chain_size: number };
      return filledPart(device.name, cert_chain, cert_chain_size);
    },
    async report(device, nonce) {
      const args = [session, 0, Buffer.from(nonce), nonce.length];
      const types = ['void *', 'uint32_t', 'void *', 'uint32_t'] as const;
      const code = await call('nscq_session_set_input', 'int8_t', types, args);
      demand('nscq_session_set_input', code, device.name);
      const value = await valueOf(device, 'attestation_report', callbacks.report);
      const { report, report_size } = value as { report: Uint8Array; report_size: number };
      return filledPart(device.name, report, report_size);
    },
    async close() {
      await call('nscq_session_destroy', 'void', ['void *'], [session]);
    },
  };
}
