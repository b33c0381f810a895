import type { Downstream, Outbox } from '@muster/server/sessions/connections.js';
import type { Challenge } from '@muster/shared/gen/muster/v1/attestation.js';
import type { Verdict } from '@muster/shared/gen/muster/v1/agent.js';
import type { Federation } from './federation.js';
import { presentToken, type Presenter, type TokenChanges } from './tokens.js';

/** An outbox that keeps what was sent to the connected participants. */
export class RecordingOutbox implements Outbox {
  readonly connected = new Set<string>();
  readonly sent: { readonly participant: string; readonly message: Downstream }[] = [];

  send(participant: string, message: Downstream): boolean {
    if (!this.connected.has(participant)) return false;
    this.sent.push({ participant, message });
    return true;
  }

  /** The last challenge to a participant. */
  challenge(participant: string): Challenge {
    const message = this.#last(participant, 'challenge');
    if (message?.$case !== 'challenge') throw new Error(`${participant} was not challenged`);
    return message.value;
  }

  /** How often a participant was challenged. */
  challenges(participant: string): number {
    return this.sent.filter((each) => each.participant === participant && each.message.$case === 'challenge')
      .length;
  }

  /** The last verdict that a participant got. */
  verdict(participant: string): Verdict {
    const message = this.#last(participant, 'verdict');
    if (message?.$case !== 'verdict') throw new Error(`${participant} got no verdict`);
    return message.value;
  }

  #last(participant: string, type: Downstream['$case']): Downstream | undefined {
    return this.sent.findLast((each) => each.participant === participant && each.message.$case === type)
      ?.message;
  }
}

/** Answers the last challenge of a site as its agent would, with a token that may be made wrong. */
export async function answerChallenge(
  { sites, clock }: Pick<Federation, 'sites' | 'clock'>,
  outbox: RecordingOutbox,
  site: Presenter,
  changes: TokenChanges = {},
): Promise<Verdict> {
  const { name } = site.identity;
  const { id, nonce } = outbox.challenge(name);
  const jws = await presentToken(site, nonce, clock.now(), changes);
  await sites.answer(name, 0, { challengeId: id, tokens: [{ namespace: 'x-a', jws }], failures: [] });
  return outbox.verdict(name);
}
