/** Labels of a count. Their values come from fixed sets of this program, never from a participant. */
export type Labels = Readonly<Record<string, string>>;

/** Counts events by their labels, since the start of the process. */
export class Tally<L extends Labels> {
  readonly #counts = new Map<string, { readonly labels: L; value: number }>();

  count(labels: L): void {
    const key = JSON.stringify(labels);
    const held = this.#counts.get(key);
    if (held === undefined) this.#counts.set(key, { labels, value: 1 });
    else held.value += 1;
  }

  all(): readonly { readonly labels: L; readonly value: number }[] {
    return [...this.#counts.values()];
  }
}

/** What the parts of a server count, whether anybody asks for it or not. */
export interface Observations {
  readonly endorsementQueries: Tally<{ readonly vendor: string; readonly outcome: string }>;
  readonly verdicts: Tally<{ readonly namespace: string; readonly outcome: string }>;
}

/** Nothing counted yet. */
export function newObservations(): Observations {
  return { endorsementQueries: new Tally(), verdicts: new Tally() };
}
