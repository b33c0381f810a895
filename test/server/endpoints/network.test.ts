import { describe, expect, it } from '@jest/globals';
import { networkOf } from '@muster/server/endpoints/network.js';
import fc from 'fast-check';

describe('the network that limits by address count', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['1:2:3:4:5:6:192.0.2.33', '1:2:3:4::/64'],
    ['unknown', 'unknown'],
    ['', ''],
  ])('of %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it('is the same for every host of a /64, and another for every other /64', () => {
    const group = fc.integer({ min: 0, max: 0xffff });
    const half = fc.tuple(group, group, group, group);
    const text = (groups: readonly number[]): string => groups.map((each) => each.toString(16)).join(':');
    fc.assert(
      fc.property(half, half, half, half, (a, b, x, y) => {
        const [one, two] = [networkOf(text([...a, ...x])), networkOf(text([...b, ...y]))];
        expect(one === two).toBe(text(a) === text(b));
      }),
    );
  });
});
