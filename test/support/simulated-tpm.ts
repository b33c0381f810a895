import {
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  type KeyObject,
} from 'node:crypto';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import { be, ecKey, pcrValues, signQuote, tpmPublic, tpmQuote, type TpmKey } from './tpm-builder.js';

/** A credential as a TPM takes it. */
interface Credential {
  readonly blob: Uint8Array;
  readonly encryptedSecret: Uint8Array;
}

/** What a TPM does with its two keys (TPM 2.0 Library, part 3, TPM2_ActivateCredential and TPM2_Quote), without a TPM. */
export class SimulatedTpm {
  readonly endorsementKey: KeyObject;
  readonly attestationKey: TpmKey;

  constructor({
    ek = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    ak = ecKey,
  }: { readonly ek?: KeyObject; readonly ak?: TpmKey } = {}) {
    this.endorsementKey = ek;
    this.attestationKey = ak;
  }

  get endorsementPublicKey(): KeyObject {
    return createPublicKey(this.endorsementKey);
  }

  /** TPM2B_PUBLIC of the attestation key. */
  get publicArea(): Buffer {
    return tpmPublic(this.attestationKey);
  }

  /** Evidence that carries the report data. */
  quote(reportData: Uint8Array): Uint8Array {
    const nonce = createHash('sha256').update(reportData).digest();
    const message = tpmQuote({ nonce });
    return formatEvidence({
      ak_public: this.publicArea,
      tpm_quote: {
        message,
        signature: signQuote(message, this.attestationKey),
        pcrs: [...pcrValues({ nonce })],
      },
    });
  }

  /** The secret in a credential. Throws when it was made for another key. */
  open({ blob, encryptedSecret }: Credential): Buffer {
    const name = Buffer.concat([
      be(0x000b, 2),
      createHash('sha256').update(this.publicArea.subarray(2)).digest(),
    ]);
    const seed = this.#seed(encryptedSecret);
    const derive = (label: string, context: Uint8Array, bits: number): Buffer =>
      createHmac('sha256', seed)
        .update(be(1, 4))
        .update(`${label}\0`)
        .update(context)
        .update(be(bits, 4))
        .digest()
        .subarray(0, bits / 8);
    const [integrity, encrypted] = [blob.subarray(4, 36), blob.subarray(36)];
    const expected = createHmac('sha256', derive('INTEGRITY', new Uint8Array(), 256))
      .update(encrypted)
      .update(name)
      .digest();
    if (!expected.equals(integrity)) throw new Error('the integrity of the credential does not hold');
    const key = derive('STORAGE', name, 128);
    const content = createDecipheriv('aes-128-cfb', key, Buffer.alloc(16)).update(encrypted);
    return content.subarray(2, 2 + content.readUInt16BE());
  }

  #seed(encryptedSecret: Uint8Array): Buffer {
    const key = this.endorsementKey;
    const secret = Buffer.from(encryptedSecret.subarray(2));
    const label = Buffer.from('IDENTITY\0');
    if (key.asymmetricKeyType === 'rsa') {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      return privateDecrypt({ key, padding, oaepHash: 'sha256', oaepLabel: label }, secret);
    }
    const [x, y] = [secret.subarray(2, 34), secret.subarray(36)];
    const jwk = { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') };
    const own = this.endorsementPublicKey.export({ format: 'jwk' }).x ?? '';
    return createHash('sha256')
      .update(be(1, 4))
      .update(diffieHellman({ privateKey: key, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) }))
      .update(label)
      .update(x)
      .update(Buffer.from(own, 'base64url'))
      .digest();
  }
}
