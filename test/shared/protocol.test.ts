import { describe, expect, it } from '@jest/globals';
import { highestCommonVersion, type VersionRange } from '@muster/shared/protocol.js';
import fc from 'fast-check';

const common = (agent: VersionRange, server: VersionRange): number | undefined =>
  highestCommonVersion({ protocolMin: agent.min, protocolMax: agent.max }, server);

describe('the protocol version of a session', () => {
  it.each([
    [{ min: 1, max: 1 }, { min: 1, max: 1 }, 1],
    [{ min: 1, max: 3 }, { min: 1, max: 2 }, 2],
    [{ min: 1, max: 2 }, { min: 2, max: 4 }, 2],
    [{ min: 2, max: 3 }, { min: 1, max: 1 }, undefined],
    [{ min: 1, max: 1 }, { min: 2, max: 3 }, undefined],
    [{ min: 0, max: 0 }, { min: 1, max: 1 }, undefined],
    [{ min: 3, max: 1 }, { min: 1, max: 4 }, undefined],
  ])('of an agent with %j and a server with %j is %s', (agent, server, version) => {
    expect(common(agent, server)).toBe(version);
  });

  it('is one that both speak, and the highest of these, whoever offers', () => {
    const range = fc
      .tuple(fc.nat(12), fc.nat(12))
      .map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));
    fc.assert(
      fc.property(range, range, (agent, server) => {
        const speaks = ({ min, max }: VersionRange, version: number): boolean =>
          version >= min && version <= max;
        const all = Array.from({ length: 13 }, (_, version) => version);
        const both = all.filter((version) => speaks(agent, version) && speaks(server, version));
        expect(common(agent, server)).toBe(both.at(-1));
        expect(common(agent, server)).toBe(common(server, agent));
      }),
    );
  });
});
