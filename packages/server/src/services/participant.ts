import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import {
  Participant,
  type CreateJoinTokenRequest,
  type CreateJoinTokenResponse,
  type GetParticipantRequest,
  type GetParticipantResponse,
  type ListParticipantsResponse,
  type ParticipantServiceServer,
  type QuarantineParticipantRequest,
  type QuarantineParticipantResponse,
  type ReadmitParticipantRequest,
  type ReadmitParticipantResponse,
  type RemoveParticipantRequest,
  type RemoveParticipantResponse,
  type WatchParticipantsResponse,
} from '@muster/shared/gen/muster/v1/participant.js';
import { ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { requireName } from '@muster/shared/spiffe.js';
import { issueJoinToken } from '../enrollment/issue-join-token.js';
import { serverStream, unary, type CallContext } from '../middleware/handlers.js';
import type { Audit, AuditEntry, RegisteredParticipant, Registry, Sessions } from '../ports.js';
import type { Store } from '../store/store.js';
import { changeStream } from './change-stream.js';
import { invalid, requireDuration, requireText } from './validation.js';

/** What the participant service works with. */
export interface ParticipantOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly sessions: Pick<Sessions, 'disconnect'>;
  readonly audit: Audit;
  readonly policy: Policy;
  readonly serverName: string;
  /** SHA-256 of the federation CA's key, as `sha256:<hex>`. */
  readonly caHash: () => string;
  /** Ends, at every site, the jobs that a participant takes part in. */
  readonly endJobsOf: (participant: string, reasons: readonly Reason[], actor: string) => Promise<void>;
  /** Asks a participant for fresh evidence; does not wait for it. */
  readonly reattest: (participant: string) => void;
  readonly participantMessage: (participant: RegisteredParticipant) => Participant;
  readonly clock: Clock;
}

const ttlBounds = { min: 60_000, max: 7 * 86_400_000, preset: 3_600_000 };

type Context = Pick<CallContext, 'caller' | 'signal'>;

/** A participant's name, and what it is now; undefined when it was removed. */
interface Change {
  readonly name: string;
  readonly participant: RegisteredParticipant | undefined;
}

/** The methods of ParticipantService. */
export class ParticipantHandlers {
  readonly #options: ParticipantOptions;

  constructor(options: ParticipantOptions) {
    this.#options = options;
  }

  async listParticipants(): Promise<ListParticipantsResponse> {
    const { registry, participantMessage } = this.#options;
    return { participants: registry.all().map(participantMessage) };
  }

  async getParticipant({ name }: GetParticipantRequest): Promise<GetParticipantResponse> {
    return { participant: this.#message(name) };
  }

  async *watchParticipants({ signal }: Pick<Context, 'signal'>): AsyncGenerator<WatchParticipantsResponse> {
    const { registry, participantMessage } = this.#options;
    const changes = changeStream<Change>(
      {
        snapshot: async function* () {
          for (const participant of registry.all()) yield { name: participant.name, participant };
        },
        subscribe: (listener) => registry.watch((name, participant) => listener({ name, participant })),
        keyOf: ({ name }) => name,
      },
      signal,
    );
    for await (const { name, participant } of changes) {
      yield participant === undefined
        ? { participant: removed(name), removed: true }
        : { participant: participantMessage(participant), removed: false };
    }
  }

  async quarantineParticipant(
    request: QuarantineParticipantRequest,
    { caller }: Context,
  ): Promise<QuarantineParticipantResponse> {
    const { registry, endJobsOf } = this.#options;
    const { name, comment } = requireSubject(request);
    const reasons = [reason('OPERATOR_QUARANTINE', { participant: name })];
    await this.#decide((tx) => registry.quarantine(tx, name, reasons), {
      actor: caller.spiffeId,
      action: 'participant.quarantine',
      subject: name,
      reasons,
      comment,
    });
    // Also when it was barred before: the call that barred it may have been interrupted here.
    await endJobsOf(name, reasons, caller.spiffeId);
    return { participant: this.#message(name) };
  }

  async readmitParticipant(
    request: ReadmitParticipantRequest,
    { caller }: Context,
  ): Promise<ReadmitParticipantResponse> {
    const { registry, reattest } = this.#options;
    const { name, comment } = requireSubject(request);
    const changed = await this.#decide((tx) => registry.readmit(tx, name), {
      actor: caller.spiffeId,
      action: 'participant.readmit',
      subject: name,
      reasons: [],
      comment,
    });
    if (changed) reattest(name);
    return { participant: this.#message(name) };
  }

  /** The jobs end first, because a removed participant can be told nothing any more; its lease ends what is left there. */
  async removeParticipant(
    request: RemoveParticipantRequest,
    { caller }: Context,
  ): Promise<RemoveParticipantResponse> {
    const { registry, endJobsOf, sessions, serverName } = this.#options;
    const { name, comment } = requireSubject(request);
    if (name === serverName) throw invalid('name', 'the server cannot be removed');
    this.#find(name);
    const reasons = [reason('PARTICIPANT_REMOVED', { participant: name })];
    await endJobsOf(name, reasons, caller.spiffeId);
    await this.#decide(
      async (tx) => {
        await registry.remove(tx, name);
        return true;
      },
      { actor: caller.spiffeId, action: 'participant.remove', subject: name, reasons, comment },
    );
    sessions.disconnect(name);
    return {};
  }

  async createJoinToken(
    { participant, ttl }: CreateJoinTokenRequest,
    { caller }: Context,
  ): Promise<CreateJoinTokenResponse> {
    const { store, registry, audit, policy, serverName, caHash, clock } = this.#options;
    const name = requireName(participant, 'participant');
    if (name === serverName) throw invalid('participant', 'this is the name of the server');
    if (ruleFor(policy, { role: 'site', name }) === undefined) {
      throw refusal('POLICY_PARTICIPANT_UNLISTED', { participant: name, path: 'participant' });
    }
    const lifetimeMs = requireDuration(ttl, 'ttl', ttlBounds);
    const { token, expiresAt } = await store.transaction(async (tx) => {
      await registry.invite(tx, name);
      await audit.append(tx, {
        actor: caller.spiffeId,
        action: 'participant.invite',
        subject: name,
        decision: 'done',
        reasons: [],
      });
      return issueJoinToken(tx, 'join', name, lifetimeMs, clock.now());
    });
    return { joinToken: token, expiresAt, caHash: caHash() };
  }

  /** Makes a change and records it in one transaction; what changes nothing is not recorded. */
  #decide(
    change: (tx: Parameters<Audit['append']>[0]) => Promise<boolean>,
    entry: Omit<AuditEntry, 'decision'>,
  ): Promise<boolean> {
    const { store, audit } = this.#options;
    return store.transaction(async (tx) => {
      const changed = await change(tx);
      if (changed) await audit.append(tx, { ...entry, decision: 'done' });
      return changed;
    });
  }

  #message(name: string): Participant {
    return this.#options.participantMessage(this.#find(name));
  }

  #find(name: string): RegisteredParticipant {
    const found = this.#options.registry.find(name);
    if (found === undefined) throw refusal('PARTICIPANT_UNKNOWN', { participant: name, path: 'name' });
    return found;
  }
}

/** ParticipantService as grpc-js wants it. */
export function participantService(options: ParticipantOptions): ParticipantServiceServer {
  const handlers = new ParticipantHandlers(options);
  return {
    listParticipants: unary(() => handlers.listParticipants()),
    getParticipant: unary((request) => handlers.getParticipant(request)),
    watchParticipants: serverStream((_request, context) => handlers.watchParticipants(context)),
    quarantineParticipant: unary((request, context) => handlers.quarantineParticipant(request, context)),
    readmitParticipant: unary((request, context) => handlers.readmitParticipant(request, context)),
    removeParticipant: unary((request, context) => handlers.removeParticipant(request, context)),
    createJoinToken: unary((request, context) => handlers.createJoinToken(request, context)),
  };
}

function requireSubject({ name, comment }: { readonly name: string; readonly comment: string }): {
  readonly name: string;
  readonly comment: string;
} {
  return { name: requireName(name, 'name'), comment: requireText(comment, 'comment') };
}

/** All that is left to say of a removed participant. */
function removed(name: string): Participant {
  return Participant.fromPartial({ name });
}
