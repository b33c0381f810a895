import { createRequire } from 'node:module';
import { createContext, Script } from 'node:vm';
import type * as Cel from '@bufbuild/cel';
import type { Json } from '../evidence/appraisal.js';

/** The longest expression that is compiled, characters. */
const maxExpressionLength = 2_048;
/** The longest explanation of a failure, characters. */
const maxCauseLength = 200;
/** How long compiling one expression, or evaluating all that are given at once, may take, ms. Honest ones take one. */
const timeLimitMs = 1_000;

/** What an expression can speak of. */
export interface ExpressionVariables {
  readonly claims: { readonly [key: string]: Json };
  readonly participant: string;
  readonly role: string;
}

const variables: readonly (keyof ExpressionVariables)[] = ['claims', 'participant', 'role'];
/** What CEL itself calls types, such as in `type(claims.x) == string`. */
const typeNames = 'bool bytes double duration int list map null_type string timestamp type uint google'.split(
  ' ',
);

/** An expression of the Common Expression Language (github.com/google/cel-spec) that compiles. */
export interface Expression {
  readonly text: string;
  /** What it says; an exception or anything that is not a boolean is a failure. */
  readonly evaluate: (bindings: Bindings) => unknown;
}

interface Bindings extends Omit<ExpressionVariables, 'claims'> {
  readonly claims: Map<string, Cel.CelInput>;
}

/** Compiles an expression. Throws an Error that says what is wrong with it. */
export function compileExpression(text: string): Expression {
  if (text.length > maxExpressionLength) {
    throw new Error(`an expression has at most ${maxExpressionLength} characters`);
  }
  const cel = loadCel();
  const env = cel.celEnv({
    variables: {
      claims: cel.mapType(cel.CelScalar.STRING, cel.CelScalar.DYN),
      participant: cel.CelScalar.STRING,
      role: cel.CelScalar.STRING,
    },
  });
  try {
    const evaluate = withinTime(() => {
      const parsed = cel.parse(text);
      refuseUnknownNames(parsed.expr, (name) => env.funcs.find(name) !== undefined);
      return cel.plan(env, parsed);
    });
    return { text, evaluate };
  } catch (cause) {
    // A stack that overflows inside the time limit ends in an error of the sandbox's own kind.
    throw cause instanceof Error ? cause : new Error('it is nested too deeply', { cause });
  }
}

/** What became of an expression, and why it could not be evaluated. */
export type Evaluation =
  { readonly outcome: 'holds' | 'refused' } | { readonly outcome: 'failed'; readonly cause: string };

/**
 * Evaluates expressions, all of them within a second. One that throws, gives no boolean or was not reached in time has
 * failed.
 */
export function evaluateAll(
  expressions: readonly Expression[],
  given: ExpressionVariables,
): readonly Evaluation[] {
  const evaluations = expressions.map((): Evaluation => failure('it took too long'));
  try {
    withinTime(() => {
      const bindings = { ...given, claims: toMap(given.claims) };
      for (const [index, { evaluate }] of expressions.entries()) {
        evaluations[index] = attempt(() => evaluate(bindings));
      }
    });
  } catch {
    // What was not reached in time stays a failure.
  }
  return evaluations;
}

function attempt(evaluate: () => unknown): Evaluation {
  try {
    const answer = evaluate();
    if (typeof answer === 'boolean') return { outcome: answer ? 'holds' : 'refused' };
    return failure(answer instanceof Error ? answer.message : 'it is neither true nor false');
  } catch (error) {
    return failure(error instanceof Error ? error.message : 'it threw');
  }
}

function failure(cause: string): Evaluation {
  return { outcome: 'failed', cause: cause.slice(0, maxCauseLength) };
}

/** Loads the language when the first policy needs it, which takes a tenth of a second. */
function loadCel(): typeof Cel {
  return createRequire(import.meta.url)('@bufbuild/cel') as typeof Cel;
}

const sandbox = createContext({ call: undefined as (() => void) | undefined });
const callScript = new Script('call()');

/** Calls a synchronous function and ends it when its time is over. Throws then, and what the function throws. */
function withinTime<T>(work: () => T): T {
  let result: T | undefined;
  sandbox['call'] = (): void => void (result = work());
  try {
    callScript.runInContext(sandbox, { timeout: timeLimitMs });
  } finally {
    sandbox['call'] = undefined;
  }
  return result as T;
}

/** Claims as CEL has values: whole numbers are of its type int, others of double; maps are by string. */
function toCel(value: Json): Cel.CelInput {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return (value as readonly Json[]).map(toCel);
  return toMap(value as { readonly [key: string]: Json });
}

function toMap(claims: { readonly [key: string]: Json }): Map<string, Cel.CelInput> {
  return new Map(Object.entries(claims).map(([key, part]) => [key, toCel(part)]));
}

/** Throws for a name that nothing declares, as a type checker would, so that a slip shows when the policy is loaded. */
function refuseUnknownNames(syntax: object, isFunction: (name: string) => boolean): void {
  const nodes = [...nodesOf(syntax)];
  const bound = nodes.flatMap(({ iterVar, iterVar2, accuVar }) => [iterVar, iterVar2, accuVar]);
  const known = new Set<unknown>([...variables, ...typeNames, ...bound]);
  for (const { $typeName: kind, name, function: called } of nodes) {
    if (kind === 'cel.expr.Expr.Ident' && !known.has(name)) {
      throw new Error(`there is no ${String(name)}; an expression speaks of ${variables.join(', ')}`);
    }
    const isNamed = typeof called === 'string' && /^\w+$/.test(called) && !/^_.*_$/.test(called);
    if (kind === 'cel.expr.Expr.Call' && isNamed && !isFunction(called)) {
      throw new Error(`there is no function ${called}`);
    }
  }
}

/** Every object of a syntax tree. */
function* nodesOf(node: unknown): Generator<Readonly<Record<string, unknown>>> {
  if (typeof node !== 'object' || node === null) return;
  if (!Array.isArray(node)) yield node as Record<string, unknown>;
  for (const child of Object.values(node)) yield* nodesOf(child);
}
