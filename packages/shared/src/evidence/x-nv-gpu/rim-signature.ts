import { createHash, verify, type KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import { once } from '../../memo.js';
import { attribute, children, elements, serialize, type XmlElement } from './xml.js';

/** The namespace of XML signatures (W3C XML Signature Syntax and Processing 1.1). */
export const dsigNamespace = 'http://www.w3.org/2000/09/xmldsig#';

/** The only algorithms that NVIDIA's manifests use, and so the only ones that are known here. */
const c14n11 = 'http://www.w3.org/2006/12/xml-c14n11';
const enveloped = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';
const ecdsaSha384 = 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384';
const sha384 = 'http://www.w3.org/2001/04/xmldsig-more#sha384';

/** Loaded with the first manifest: most sites have no NVIDIA device, and an agent's memory is taken from its VM. */
const xmlCrypto = once(() => {
  const { C14nCanonicalization, SignedXml } = createRequire(import.meta.url)(
    'xml-crypto',
  ) as typeof import('xml-crypto');
  /** For a whole document Canonical XML 1.1 is 1.0: they differ in what a part inherits from elements outside of it. */
  class WholeDocumentC14n11 extends C14nCanonicalization {
    override getAlgorithmName(): string {
      return c14n11;
    }
  }
  return { SignedXml, WholeDocumentC14n11 };
});

/** Loads what verifies signatures, which is slow; otherwise the first signature does. */
export function loadXmlCrypto(): void {
  xmlCrypto();
}

class Sha384 {
  getAlgorithmName(): string {
    return sha384;
  }

  getHash(xml: string): string {
    return createHash('sha384').update(xml, 'utf8').digest('base64');
  }
}

/** ECDSA P-384 with SHA-384, r then s as RFC 4050 has them in XML. */
class EcdsaSha384 {
  getAlgorithmName(): string {
    return ecdsaSha384;
  }

  getSignature(): string {
    throw new Error('this algorithm only verifies');
  }

  verifySignature(material: string, key: unknown, signature: string): boolean {
    return verify(
      'sha384',
      Buffer.from(material, 'utf8'),
      { key: key as KeyObject, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64'),
    );
  }
}

/**
 * The one signature of a document, as a document of its own: a child of its root that signs the whole document and is
 * made as NVIDIA makes them. Undefined for none, several, or one of any other form, since that could sign something else
 * than what is read.
 */
export function findSignature(root: XmlElement): string | undefined {
  const [signature] = children(root, dsigNamespace, 'Signature');
  const isOnly = root.getElementsByTagNameNS('*', 'Signature').length === 1;
  return signature !== undefined && isOnly && hasKnownForm(signature) ? serialize(signature) : undefined;
}

/**
 * The signed content of a document, canonical: what is left of it when the signature holds, and the only thing of it
 * to believe. Undefined when it does not hold by this key.
 */
export function signedContent(xml: string, signature: string, key: KeyObject): string | undefined {
  const { SignedXml, WholeDocumentC14n11 } = xmlCrypto();
  const verifier = new SignedXml({ publicCert: key });
  verifier.CanonicalizationAlgorithms = {
    [c14n11]: WholeDocumentC14n11,
    ...pick(verifier.CanonicalizationAlgorithms, enveloped),
  };
  verifier.HashAlgorithms = { [sha384]: Sha384 };
  verifier.SignatureAlgorithms = { [ecdsaSha384]: EcdsaSha384 };
  try {
    verifier.loadSignature(signature);
    const references = verifier.checkSignature(xml) ? verifier.getSignedReferences() : [];
    return references.length === 1 ? references[0] : undefined;
  } catch {
    return undefined;
  }
}

function hasKnownForm(signature: XmlElement): boolean {
  const [signedInfo, reference] = [
    child(signature, 'SignedInfo'),
    path(signature, 'SignedInfo', 'Reference'),
  ];
  const transforms = reference && child(reference, 'Transforms');
  return (
    signedInfo !== undefined &&
    reference !== undefined &&
    transforms !== undefined &&
    namesOf(signature).join() === 'SignedInfo,SignatureValue,KeyInfo' &&
    namesOf(signedInfo).join() === 'CanonicalizationMethod,SignatureMethod,Reference' &&
    namesOf(reference).join() === 'Transforms,DigestMethod,DigestValue' &&
    algorithm(child(signedInfo, 'CanonicalizationMethod')) === c14n11 &&
    algorithm(child(signedInfo, 'SignatureMethod')) === ecdsaSha384 &&
    algorithm(child(reference, 'DigestMethod')) === sha384 &&
    attribute(reference, 'URI') === '' &&
    elements(transforms).map(algorithm).join() === `${enveloped},${c14n11}`
  );
}

function child(parent: XmlElement, name: string): XmlElement | undefined {
  return children(parent, dsigNamespace, name)[0];
}

function path(parent: XmlElement, first: string, second: string): XmlElement | undefined {
  const found = child(parent, first);
  return found && child(found, second);
}

/** The names of an element's children; one of another namespace has none. */
function namesOf(parent: XmlElement): readonly (string | null)[] {
  return elements(parent).map(({ namespaceURI, localName }) =>
    namespaceURI === dsigNamespace ? localName : null,
  );
}

function algorithm(element: XmlElement | undefined): string | undefined {
  return element && attribute(element, 'Algorithm');
}

function pick<Value>(record: Record<string, Value>, key: string): Record<string, Value> {
  const value = record[key];
  return value === undefined ? {} : { [key]: value };
}
