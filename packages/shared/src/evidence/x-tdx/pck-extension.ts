import {
  Boolean as Asn1Boolean,
  Enumerated,
  fromBER,
  Integer,
  ObjectIdentifier,
  OctetString,
  Sequence,
} from 'asn1js';
import { remembered } from '../remember.js';
import { attempt } from '../x509.js';

/** What a PCK certificate says of its platform (Intel SGX PCK Certificate Profile, section 1.3.5). */
export interface PckPlatform {
  /** Protected platform id, 16 bytes: the same in all certificates of one processor. */
  readonly ppid: Uint8Array;
  /** Security versions of the SGX TCB, 16 components. */
  readonly componentSvns: readonly number[];
  readonly pceSvn: number;
  /** 2 bytes. */
  readonly pceId: Uint8Array;
  /** Family, model, stepping and so on, 6 bytes: decides which TCB info applies. */
  readonly fmspc: Uint8Array;
  /** Only platforms of several packages have one, 16 bytes. */
  readonly platformInstanceId?: Uint8Array;
  /** Whether simultaneous multi-threading is on, where the certificate says so. */
  readonly smtEnabled?: boolean;
}

const arc = '1.2.840.113741.1.13.1';
const oids = {
  ppid: `${arc}.1`,
  tcb: `${arc}.2`,
  pceSvn: `${arc}.2.17`,
  pceId: `${arc}.3`,
  fmspc: `${arc}.4`,
  sgxType: `${arc}.5`,
  platformInstanceId: `${arc}.6`,
  configuration: `${arc}.7`,
  smtEnabled: `${arc}.7.3`,
};

/** Reads Intel's extension of a PCK certificate; undefined when it is absent, malformed or lacks a field. */
export function readPckPlatform(extensions: ReadonlyMap<string, Uint8Array>): PckPlatform | undefined {
  const der = extensions.get(arc);
  return der === undefined ? undefined : readExtension(der);
}

const readExtension = remembered(decodeExtension, 512);

function decodeExtension(der: Uint8Array): PckPlatform | undefined {
  const fields = readFields(decode(der));
  const tcb = readFields(fields?.get(oids.tcb));
  if (fields === undefined || tcb === undefined) return undefined;
  const componentSvns = Array.from({ length: 16 }, (_, index) =>
    smallInteger(tcb.get(`${oids.tcb}.${index + 1}`), 0xff),
  ).filter((svn) => svn !== undefined);
  const ppid = octets(fields.get(oids.ppid), 16);
  const pceSvn = smallInteger(tcb.get(oids.pceSvn), 0xffff);
  const pceId = octets(fields.get(oids.pceId), 2);
  const fmspc = octets(fields.get(oids.fmspc), 6);
  if (componentSvns.length !== 16 || !(fields.get(oids.sgxType) instanceof Enumerated)) return undefined;
  if (ppid === undefined || pceSvn === undefined || pceId === undefined || fmspc === undefined) {
    return undefined;
  }
  const platformInstanceId = octets(fields.get(oids.platformInstanceId), 16);
  const smtEnabled = boolean(readFields(fields.get(oids.configuration))?.get(oids.smtEnabled));
  return {
    ppid,
    componentSvns,
    pceSvn,
    pceId,
    fmspc,
    ...(platformInstanceId === undefined ? {} : { platformInstanceId }),
    ...(smtEnabled === undefined ? {} : { smtEnabled }),
  };
}

type Asn1 = ReturnType<typeof fromBER>['result'];

function decode(der: Uint8Array): Asn1 | undefined {
  const { offset, result } = attempt(() => fromBER(der)) ?? {};
  return offset === der.length ? result : undefined;
}

/** A sequence of {identifier, value}, by identifier; undefined when it is anything else or names something twice. */
function readFields(value: Asn1 | undefined): ReadonlyMap<string, Asn1> | undefined {
  if (!(value instanceof Sequence)) return undefined;
  const fields = new Map<string, Asn1>();
  for (const field of value.valueBlock.value) {
    const [id, content, ...more] = field instanceof Sequence ? field.valueBlock.value : [];
    if (!(id instanceof ObjectIdentifier) || content === undefined || more.length > 0) return undefined;
    if (fields.has(id.getValue())) return undefined;
    fields.set(id.getValue(), content);
  }
  return fields;
}

function smallInteger(value: Asn1 | undefined, max: number): number | undefined {
  if (!(value instanceof Integer)) return undefined;
  const number = value.toBigInt();
  return number >= 0n && number <= BigInt(max) ? Number(number) : undefined;
}

function octets(value: Asn1 | undefined, length: number): Uint8Array | undefined {
  const bytes = value instanceof OctetString ? new Uint8Array(value.getValue()) : undefined;
  return bytes?.length === length ? bytes : undefined;
}

function boolean(value: Asn1 | undefined): boolean | undefined {
  return value instanceof Asn1Boolean ? value.getValue() : undefined;
}
