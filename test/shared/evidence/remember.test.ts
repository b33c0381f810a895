import { expect, it } from '@jest/globals';
import { remembered } from '@muster/shared/evidence/remember.js';

it('reads equal bytes once, and forgets what was used least recently', () => {
  const read: string[] = [];
  const text = remembered((bytes) => {
    read.push(Buffer.from(bytes).toString());
    return Buffer.from(bytes).toString();
  }, 2);
  for (const input of ['a', 'b', 'a', 'c', 'a', 'b']) expect(text(Buffer.from(input))).toBe(input);
  expect(read).toEqual(['a', 'b', 'c', 'b']);
});

it('remembers failures as well, and is not changed by what happens to the input later', () => {
  let calls = 0;
  const first = remembered((bytes) => {
    calls += 1;
    return bytes.length === 0 ? undefined : bytes;
  }, 4);
  expect([first(new Uint8Array()), first(new Uint8Array())]).toEqual([undefined, undefined]);
  const input = Uint8Array.of(1);
  const kept = first(input);
  input[0] = 2;
  expect(first(Uint8Array.of(1))).toBe(kept);
  expect(kept).toEqual(Uint8Array.of(1));
  expect(calls).toBe(2);
});
