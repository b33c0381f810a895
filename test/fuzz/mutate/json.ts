import type { Random } from '../random.js';

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Changes the bytes of a string, in whatever encoding they are in it. */
export type StringOperator = (text: string) => string;

// prettier-ignore
const values: readonly Json[] = [
  null, true, false, 0, -1, 1.5, 1e308, 2 ** 53, '', '0', 'A'.repeat(5_000),
  [], {}, [[]], [null], [''], { toString: null },
];
/** How deep a value is wrapped: more than any stack holds, and less. */
const depths = [3, 40, 1_000, 60_000];
const mark = 'nested-value-here';

interface Place {
  readonly parent: { [key: string]: Json } | Json[];
  readonly key: string;
}

function placesIn(value: Json, found: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null || found.length > 4_096) return found;
  for (const [key, child] of Object.entries(value)) {
    found.push({ parent: value, key });
    placesIn(child, found);
  }
  return found;
}

function get({ parent, key }: Place): Json {
  return (parent as { [key: string]: Json })[key] ?? null;
}

function set({ parent, key }: Place, value: Json): void {
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}

/** Changes one value of a JSON document; undefined for text that is none, or too deep to be written again. */
export function mutateJson(
  text: string,
  random: Random,
  donor: string,
  mutateString: StringOperator,
): string | undefined {
  try {
    return changed(text, random, donor, mutateString);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function changed(
  text: string,
  random: Random,
  donor: string,
  mutateString: StringOperator,
): string | undefined {
  const root = parse(text);
  const places = root === undefined ? [] : placesIn([root]).slice(0, 4_096);
  if (root === undefined || places.length === 0) return undefined;
  const holder = places[0] as Place;
  const place = random.pick(places);
  const old = get(place);
  let depth = 0;
  switch (random.below(8)) {
    case 0:
      set(place, random.pick(values));
      break;
    case 1:
      if (Array.isArray(place.parent)) place.parent.splice(Number(place.key), 1);
      else Reflect.deleteProperty(place.parent, place.key);
      break;
    case 2:
      if (Array.isArray(place.parent)) place.parent.push(...Array<Json>(random.size(64)).fill(old));
      else set({ parent: place.parent, key: `${place.key}${random.pick(['', '2', ' ', '\0'])}x` }, old);
      break;
    case 3:
      if (Array.isArray(place.parent)) place.parent.reverse();
      else set({ parent: place.parent, key: random.pick(['__proto__', 'constructor', '0', '']) }, old);
      break;
    case 4: {
      const others = placesIn([parse(donor) ?? root]);
      set(place, structuredClone(get(random.pick(others))));
      break;
    }
    case 5:
      depth = random.pick(depths);
      set(place, mark);
      break;
    default:
      if (typeof old === 'string') set(place, mutateString(old));
      else if (typeof old === 'number')
        set(place, random.pick([old + 1, old - 1, -old, old * 1e9, old + 0.5]));
      else set(place, random.pick(values));
  }
  const written = JSON.stringify(Array.isArray(holder.parent) ? holder.parent[0] : root) ?? 'null';
  if (depth === 0) return written;
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const);
  return written.replace(`"${mark}"`, `${open.repeat(depth)}0${close.repeat(depth)}`);
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
