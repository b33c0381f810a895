import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Campaign } from './campaign.js';
import { findingsIn, readFinding } from './finding.js';
import { affirmedOf, answerOf, type Fault } from './judge.js';
import { Random } from './random.js';
import { targets } from './targets/all.js';

/** How many inputs each target gets here; `make fuzz` gives it as many as there is time for. */
const runs = 25;
const corpus = join(import.meta.dirname, 'corpus');

/** A slow one counts when it is out of all proportion: other tests may have the processor at the same time. */
function isCertain({ kind, detail }: Fault): boolean {
  return kind !== 'slow' || Number(/\d+/.exec(detail)) > 5_000;
}

describe('whatever is sent', () => {
  it.each(targets.map((target) => [target.name, target] as const))(
    '%s answers it, in time, and affirms nothing that was not signed',
    async (_, named) => {
      const target = await named.make();
      const genuine = await affirmedOf(target);
      const campaign = new Campaign(target, new Random(1));
      const faults: Fault[] = [];
      for (let run = 0; run < runs; run += 1) {
        const { fault } = await answerOf(target, campaign.next(), genuine);
        if (fault !== undefined && isCertain(fault)) faults.push(fault);
      }
      expect(faults).toEqual([]);
    },
  );
});

describe('what was once a finding', () => {
  it.each(findingsIn(corpus).map((file) => [file.slice(corpus.length + 1), file] as const))(
    '%s is none any more',
    async (_, file) => {
      const { target: name, input } = readFinding(file);
      const target = await targets.find((candidate) => candidate.name === name)?.make();
      if (target === undefined) throw new Error(`there is no target ${name}`);
      const { fault } = await answerOf(target, input, await affirmedOf(target));
      expect(fault === undefined || !isCertain(fault)).toBe(true);
    },
  );
});
