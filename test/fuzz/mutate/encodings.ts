/** Content inside of an encoding, and how changed content is put back. */
export interface Wrapping {
  readonly content: Buffer;
  wrap(content: Uint8Array): string;
}

const pem = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{64,})-----END CERTIFICATE-----/g;
/** A run of text that is long enough to be more than a word. */
const runs = /[A-Za-z0-9+/_-]{24,}={0,2}/g;

/** What is encoded in a text, as PEM, hex, base64 or base64url: certificates, the parts of a JWS, byte strings of JSON. */
export function wrappingsIn(text: string): readonly Wrapping[] {
  const certificates = [...text.matchAll(pem)].map(({ 0: whole, 1: base64 = '', index }) =>
    within(text, index, whole.length, base64, 'base64', (inner) => {
      const lines = inner.replaceAll(/.{64}(?=.)/g, '$&\n');
      return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----`;
    }),
  );
  if (certificates.length > 0) return certificates;
  return [...text.matchAll(runs)].slice(0, 64).map(({ 0: run, index }) => {
    const isHex = /^(?:[0-9a-fA-F]{2})+$/.test(run);
    const encoding = isHex ? 'hex' : /[+/=]/.test(run) ? 'base64' : 'base64url';
    return within(text, index, run.length, run, encoding, (inner) => inner);
  });
}

function within(
  text: string,
  from: number,
  length: number,
  encoded: string,
  encoding: 'hex' | 'base64' | 'base64url',
  dress: (inner: string) => string,
): Wrapping {
  return {
    content: Buffer.from(encoded, encoding),
    wrap: (content) =>
      text.slice(0, from) + dress(Buffer.from(content).toString(encoding)) + text.slice(from + length),
  };
}
