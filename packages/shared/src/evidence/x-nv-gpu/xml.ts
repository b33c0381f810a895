import { createRequire } from 'node:module';
import type { Document, Element as XmlElement } from '@xmldom/xmldom';
import { once } from '../../memo.js';

export type { XmlElement };

/** Loaded with the first manifest: most sites have no NVIDIA device, and an agent's memory is taken from its VM. */
const xmldom = once(
  () => createRequire(import.meta.url)('@xmldom/xmldom') as typeof import('@xmldom/xmldom'),
);

/** Loads what reads XML, which is slow; otherwise the first document does. */
export function loadXmldom(): void {
  xmldom();
}

/** Larger than any manifest, bytes: bounds memory and time. */
export const maxXmlBytes = 256 * 1024;
const maxElements = 4096;
const maxDepth = 16;

/**
 * Reads an XML document that needs nothing but elements, attributes and text. Whatever else XML has is refused before it
 * is parsed: document types and with them entities, comments, CDATA sections, processing instructions. Undefined for
 * these, for anything not well-formed, and for what is too large or too deep.
 */
export function parseXml(bytes: Uint8Array): XmlElement | undefined {
  if (bytes.length > maxXmlBytes) return undefined;
  const text = decode(bytes);
  if (text === undefined || /<!|<\?(?!xml )|.<\?|\0/s.test(text)) return undefined;
  const root = parse(text)?.documentElement;
  return root && isModest(root) ? root : undefined;
}

/** The element children of a given name, in order. */
export function children(parent: XmlElement, namespace: string, name: string): readonly XmlElement[] {
  return elements(parent).filter(
    ({ namespaceURI, localName }) => namespaceURI === namespace && localName === name,
  );
}

/** All element children, in order. */
export function elements(parent: XmlElement): readonly XmlElement[] {
  const found: XmlElement[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (node.nodeType === node.ELEMENT_NODE) found.push(node as XmlElement);
  }
  return found;
}

/** An attribute without namespace; undefined when it is absent. */
export function attribute(element: XmlElement, name: string): string | undefined {
  return element.hasAttribute(name) ? (element.getAttribute(name) ?? undefined) : undefined;
}

/** Writes an element as a document of its own, with the namespaces that it needs. */
export function serialize(element: XmlElement): string {
  const { XMLSerializer } = xmldom();
  return new XMLSerializer().serializeToString(element);
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function parse(text: string): Document | undefined {
  const { DOMParser, ParseError } = xmldom();
  const onError = (_level: string, message: string): never => {
    throw new ParseError(message);
  };
  try {
    return new DOMParser({ onError }).parseFromString(text, 'text/xml');
  } catch {
    return undefined;
  }
}

function isModest(root: XmlElement): boolean {
  const level: { readonly element: XmlElement; readonly depth: number }[] = [{ element: root, depth: 1 }];
  for (const { element, depth } of level) {
    if (depth > maxDepth || level.length > maxElements) return false;
    level.push(...elements(element).map((child) => ({ element: child, depth: depth + 1 })));
  }
  return true;
}
