/** The rules of delivery. */
export interface DeliveryLimits {
  /** How many commands may be under way, for the urgent ones and for the others. */
  readonly window: number;
  /** After how long a command is sent again that was not acknowledged, ms. */
  readonly resendMs: number;
}

/** A command that is not finished. */
export interface QueuedCommand {
  readonly seq: number;
  /** Urgent commands overtake the others: they take permission back. */
  readonly urgent: boolean;
}

interface PendingCommand extends QueuedCommand {
  readonly progress: 'waiting' | 'sent' | 'received';
  /** When it was sent last, on the monotonic clock, ms. */
  readonly sentAt: number;
}

/** What is known of the unfinished commands of one connected participant, by sequence number. */
export interface Delivery {
  readonly pending: readonly PendingCommand[];
}

/** How far a command came at the agent. */
export type Outcome = 'RECEIVED' | 'APPLIED' | 'FAILED' | 'REJECTED';

/** What happens to a delivery. `acknowledged` events come one at a time: the next follows
 * once the outcome of the previous one is recorded or requeued. */
export type DeliveryEvent =
  | { readonly type: 'enqueued'; readonly command: QueuedCommand }
  /** Time to send what may be sent. */
  | { readonly type: 'due' }
  /** The connection took no more, or the outcome could not be recorded: it is sent again when something is due. */
  | { readonly type: 'requeued'; readonly seq: number }
  | { readonly type: 'acknowledged'; readonly seq: number; readonly outcome: Outcome }
  /** The outcome is recorded. */
  | { readonly type: 'finished'; readonly seq: number };

/** What follows: a command is sent, or an outcome is told to the listeners and, unless RECEIVED, recorded. */
export type DeliveryEffect =
  | { readonly type: 'send'; readonly seq: number }
  | { readonly type: 'tell'; readonly seq: number; readonly outcome: Outcome };

/** A delivery after an event, what follows, and when it is due again, on the monotonic clock, ms. */
export interface DeliveryDecision {
  readonly state: Delivery;
  readonly effects: readonly DeliveryEffect[];
  readonly dueAt: number | undefined;
}

/** The delivery at the start of a session: all that is unfinished is sent again, whatever was sent before. */
export function openDelivery(unfinished: readonly QueuedCommand[]): Delivery {
  return { pending: unfinished.map((command) => ({ ...command, progress: 'waiting', sentAt: 0 })) };
}

/** Decides what to send and whom to tell. Unknown, repeated and late acknowledgements change nothing. */
export function decideDelivery(
  state: Delivery,
  event: DeliveryEvent,
  at: number,
  limits: DeliveryLimits,
): DeliveryDecision {
  switch (event.type) {
    case 'enqueued': {
      const added: PendingCommand = { ...event.command, progress: 'waiting', sentAt: 0 };
      return decision({ pending: [...state.pending, added] }, [], limits);
    }
    case 'due':
      return send(state, at, limits);
    case 'requeued':
      return decision(change(state, event.seq, { progress: 'waiting' }), [], limits);
    case 'acknowledged': {
      const command = state.pending.find(({ seq }) => seq === event.seq);
      const repeated = event.outcome === 'RECEIVED' && command?.progress === 'received';
      if (command === undefined || repeated) return decision(state, [], limits);
      const { seq, outcome } = event;
      return decision(change(state, seq, { progress: 'received' }), [{ type: 'tell', seq, outcome }], limits);
    }
    case 'finished':
      return send({ pending: state.pending.filter(({ seq }) => seq !== event.seq) }, at, limits);
    default:
      return event satisfies never;
  }
}

function send(state: Delivery, at: number, limits: DeliveryLimits): DeliveryDecision {
  const due = [true, false].flatMap((urgent) => {
    const own = state.pending.filter((command) => command.urgent === urgent);
    const underWay = own.filter(({ progress }) => progress !== 'waiting');
    const again = underWay.filter(
      ({ progress, sentAt }) => progress === 'sent' && at - sentAt >= limits.resendMs,
    );
    const waiting = own.filter(({ progress }) => progress === 'waiting');
    return [...again, ...waiting.slice(0, Math.max(0, limits.window - underWay.length))];
  });
  const sent = due.reduce<Delivery>(
    (current, { seq }) => change(current, seq, { progress: 'sent', sentAt: at }),
    state,
  );
  const sends = due.map(({ seq }): DeliveryEffect => ({ type: 'send', seq }));
  return decision(sent, sends, limits);
}

function change(
  state: Delivery,
  seq: number,
  to: Partial<Pick<PendingCommand, 'progress' | 'sentAt'>>,
): Delivery {
  return { pending: state.pending.map((command) => (command.seq === seq ? { ...command, ...to } : command)) };
}

function decision(
  state: Delivery,
  effects: readonly DeliveryEffect[],
  { resendMs }: DeliveryLimits,
): DeliveryDecision {
  const sent = state.pending.filter(({ progress }) => progress === 'sent').map(({ sentAt }) => sentAt);
  return { state, effects, dueAt: sent.length === 0 ? undefined : Math.min(...sent) + resendMs };
}
