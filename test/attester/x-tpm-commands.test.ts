import { expect, it } from '@jest/globals';
import {
  isBusy,
  nvReadResponse,
  nvSizeResponse,
  pcrReadCommand,
  pcrReadResponse,
  quoteCommand,
  quoteResponse,
  readPublicCommand,
  readPublicResponse,
  TpmError,
} from '@muster/attester/x-tpm/commands.js';
import type { DeviceKey } from '@muster/attester/attester.js';
import type { Transact } from '@muster/attester/x-tpm/device.js';
import { describeKey } from '@muster/attester/x-tpm/key-proof.js';
import fc from 'fast-check';
import { be, sized } from '../support/tpm-builder.js';

function response(tag: number, body: Uint8Array, code = 0): Buffer {
  return Buffer.concat([be(tag, 2), be(10 + body.length, 4), be(code, 4), body]);
}

it('commands say how long they are', () => {
  const selection = [{ bank: 'sha256', indexes: [0, 23] }] as const;
  for (const command of [
    readPublicCommand(0x8101_0002),
    quoteCommand(0x8101_0002, Buffer.alloc(32), selection),
    pcrReadCommand(selection),
  ]) {
    expect(command.readUInt32BE(2)).toBe(command.length);
  }
  expect(pcrReadCommand(selection).toString('hex')).toBe('8001000000140000017e00000001000b03010080');
});

it('responses are read back as they were written', () => {
  expect(
    readPublicResponse(response(0x8001, Buffer.concat([sized(Buffer.of(1, 2)), sized(Buffer.of(3))]))),
  ).toEqual(Uint8Array.of(0, 2, 1, 2));
  const parameters = Buffer.concat([sized(Buffer.of(7)), Buffer.of(8, 9)]);
  const quoted = response(0x8002, Buffer.concat([be(parameters.length, 4), parameters, be(0, 5)]));
  expect(quoteResponse(quoted)).toEqual({ message: Uint8Array.of(7), signature: Uint8Array.of(8, 9) });
  const values = Buffer.concat([
    be(1, 4),
    be(1, 4),
    Buffer.from('000b03010000', 'hex'),
    be(1, 4),
    sized(Buffer.of(5)),
  ]);
  expect(pcrReadResponse(response(0x8001, values))).toEqual([Uint8Array.of(5)]);
});

it('a refusal, another kind and another length are told apart', () => {
  expect(() => readPublicResponse(response(0x8001, be(0, 2), 0x18b))).toThrow('0x18b');
  expect(() => readPublicResponse(response(0x8002, be(0, 2)))).toThrow('another kind');
  expect(() => readPublicResponse(Buffer.concat([response(0x8001, be(0, 2)), be(0, 1)]))).toThrow(
    'another length',
  );
  expect([0x908, 0x90a, 0x922, 0x18b].map((code) => isBusy(response(0x8001, be(0, 0), code)))).toEqual([
    true,
    true,
    true,
    false,
  ]);
});

it('whatever a TPM answers is read or is a TpmError', () => {
  const answers = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .tuple(fc.constantFrom(0x8001, 0x8002), fc.uint8Array({ maxLength: 60 }))
      .map(([tag, body]) => response(tag, body)),
  );
  fc.assert(
    fc.property(
      answers,
      fc.constantFrom<(response: Uint8Array) => unknown>(
        readPublicResponse,
        quoteResponse,
        pcrReadResponse,
        nvReadResponse,
        nvSizeResponse,
      ),
      (answer, read) => {
        try {
          read(answer);
          return true;
        } catch (error) {
          return error instanceof TpmError;
        }
      },
    ),
    { numRuns: 1000 },
  );
});

it('the certificate of an endorsement key is taken without what fills the rest of its index', async () => {
  const certificate = Buffer.concat([Buffer.from('30820102', 'hex'), Buffer.alloc(0x102, 5)]);
  const describe = (content: Uint8Array): Promise<DeviceKey> =>
    describeKey(nvramOf(content), { attestationKey: 1, endorsementKey: 2 }, undefined);
  for (const padding of [0, 1, 2000]) {
    const { endorsementCertificates } = await describe(
      Buffer.concat([certificate, Buffer.alloc(padding, 0xff)]),
    );
    expect(endorsementCertificates).toEqual([new Uint8Array(certificate)]);
  }
  const { endorsementCertificates } = await describe(Buffer.of(0x30));
  expect(endorsementCertificates).toEqual([Uint8Array.of(0x30)]);
});

/** A TPM with RSA keys, and with the same content in every NV index. */
function nvramOf(content: Uint8Array): Transact {
  const publicArea = sized(be(0x0001, 2));
  const nvArea = sized(Buffer.concat([Buffer.alloc(12), be(content.length, 2)]));
  return async (command) => {
    const request = Buffer.from(command);
    switch (request.readUInt32BE(6)) {
      case 0x173:
        return response(0x8001, publicArea);
      case 0x169:
        return response(0x8001, nvArea);
      default: {
        const [length, offset] = [
          request.readUInt16BE(request.length - 4),
          request.readUInt16BE(request.length - 2),
        ];
        const read = sized(content.subarray(offset, offset + length));
        return response(0x8002, Buffer.concat([be(read.length, 4), read]));
      }
    }
  };
}
