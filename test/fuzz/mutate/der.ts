import type { Random } from '../random.js';
import { mutateBytes } from './bytes.js';

/** An element of ASN.1: constructed ones, and octet strings that hold others, have children. */
interface Element {
  tag: number;
  content: Buffer;
  /** What comes before the children, such as the number of unused bits. */
  readonly lead: Buffer;
  readonly children?: Element[];
}

const maxDepth = 24;
const [bitString, octetString] = [0x03, 0x04];
const tags = [0x01, 0x02, bitString, octetString, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0xa0];

/** Changes one element of DER and mends the lengths around it; undefined for bytes that are no DER. */
export function mutateDer(bytes: Buffer, random: Random, donor: Buffer): Buffer | undefined {
  const roots = parse(bytes, 0);
  if (roots === undefined) return undefined;
  const lists: Element[][] = [];
  const collect = (list: Element[]): void => {
    if (list.length > 0) lists.push(list);
    for (const { children } of list) if (children !== undefined) collect(children);
  };
  collect(roots);
  if (lists.length === 0) return undefined;
  const list = random.pick(lists);
  const at = random.below(list.length);
  const element = list[at] as Element;
  switch (random.below(6)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(at, 0, ...Array<Element>(random.size(16)).fill(element));
      break;
    case 2:
      element.tag = random.pick(tags);
      break;
    case 3: {
      const others = parse(donor, 0) ?? [];
      const found = others.flatMap((other) => [other, ...(other.children ?? [])]);
      if (found.length > 0) list.splice(at, 1, random.pick(found));
      break;
    }
    case 4:
      list.splice(at, 1, wrapped(element, random.size(2_000)));
      break;
    default:
      list.splice(at, 1, leaf(element.tag, Buffer.from(mutateBytes(contentOf(element), random, donor))));
  }
  return Buffer.concat(roots.map(write));
}

function leaf(tag: number, content: Buffer): Element {
  return { tag, content, lead: Buffer.alloc(0) };
}

function wrapped(element: Element, depth: number): Element {
  let content = write(element);
  for (let level = 1; level < depth; level += 1) content = write(leaf(0x30, content));
  return leaf(0x30, content);
}

function parse(bytes: Buffer, depth: number): Element[] | undefined {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    const extra = first < 0x80 ? 0 : first & 0x7f;
    if (at + 2 + extra > bytes.length || extra > 4 || first === 0x80) return undefined;
    const length = extra === 0 ? first : bytes.readUIntBE(at + 2, extra);
    const from = at + 2 + extra;
    if (from + length > bytes.length) return undefined;
    found.push(elementOf(tag, bytes.subarray(from, from + length), depth));
    at = from + length;
  }
  return found;
}

function elementOf(tag: number, content: Buffer, depth: number): Element {
  const lead = content.subarray(0, tag === bitString ? 1 : 0);
  const mayHold = (tag & 0x20) !== 0 || ((tag === octetString || tag === bitString) && content.length > 4);
  const children = mayHold && depth < maxDepth ? parse(content.subarray(lead.length), depth + 1) : undefined;
  return { tag, content, lead, ...(children === undefined ? {} : { children }) };
}

function contentOf({ content, lead, children }: Element): Buffer {
  return children === undefined ? content : Buffer.concat([lead, ...children.map(write)]);
}

function write(element: Element): Buffer {
  const content = contentOf(element);
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  const prefix = content.length < 0x80 ? [] : [0x80 | length.length];
  return Buffer.concat([Buffer.of(element.tag, ...prefix), length, content]);
}
