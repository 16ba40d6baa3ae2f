/**
 * Names for what is being recorded, so that a profile can say which layer a dispatch is of. Layers call `scope`; it does
 * nothing but call its body unless somebody traces.
 *
 * A gradient is its layer's: while scopes are traced, each op that goes on tfjs's tape remembers where it was recorded,
 * and its gradient runs under that name.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

/** Where a dispatch was recorded. */
export interface Scope {
  /** outermost first */
  readonly path: readonly string[];
  /** true for a gradient of what was recorded there */
  readonly backward: boolean;
}

/** A stay in a scope, by the host's clock. */
export interface ScopeSlice extends Scope {
  /** of `performance.now()`, in milliseconds */
  readonly start: number;
  readonly end: number;
}

/** Scopes that are being traced. */
export interface ScopeTrace {
  /** stays that have ended, in the order of their ends */
  readonly slices: readonly ScopeSlice[];
  /** ends it; a second call does nothing */
  stop(): void;
}

/** What is used of tfjs's engine; private in its types. */
interface Engine {
  addTapeNode(...args: unknown[]): void;
  readonly state: { readonly activeTape: TapeNode[] };
}

interface TapeNode {
  gradient?: (dys: unknown) => Record<string, () => tf.Tensor>;
}

class Tracer {
  readonly slices: ScopeSlice[] = [];
  #inner: Scope = { path: [], backward: false };
  /** Set after a layer's gradient: tfjs then adds up gradients of the layer's input, outside of any function of ours. */
  #after: Scope | undefined;

  get current(): Scope {
    return this.#after ?? this.#inner;
  }

  within<T>(name: string, body: () => T): T {
    const { path, backward } = this.#inner;
    return this.#enter({ path: [...path, name], backward }, body);
  }

  /** A tape node's gradient, under the name of the scope in which the node was made. */
  gradientOf(node: TapeNode): void {
    const { gradient } = node;
    if (gradient === undefined) return;
    const scope = { path: this.#inner.path, backward: true };
    const run = <T>(body: () => T): T => {
      const result = this.#enter(scope, body);
      this.#after = scope;
      return result;
    };
    node.gradient = (dys) => {
      const gradients = run(() => gradient(dys));
      return Object.fromEntries(Object.entries(gradients).map(([name, dx]) => [name, () => run(dx)]));
    };
  }

  #enter<T>(scope: Scope, body: () => T): T {
    const outer = this.#inner;
    this.#after = undefined;
    this.#inner = scope;
    const start = performance.now();
    try {
      return body();
    } finally {
      this.slices.push({ ...scope, start, end: performance.now() });
      this.#inner = outer;
      this.#after = undefined;
    }
  }
}

let tracer: Tracer | undefined;

/** Runs a body; what it records is known by this name, inside the names of the scopes around it. */
export function scope<T>(name: string, body: () => T): T {
  return tracer === undefined ? body() : tracer.within(name, body);
}

/** Where something is being recorded; undefined unless scopes are traced. */
export function currentScope(): Scope | undefined {
  return tracer?.current;
}

/**
 * Begins to trace scopes. Gradients are known by their layers only if the layers are recorded after that.
 *
 * @throws {Error} if they are traced already
 */
export function traceScopes(): ScopeTrace {
  if (tracer !== undefined) throw new Error("Cannot trace scopes: they are traced already");
  const own = tracer = new Tracer();
  const engine = tf.engine() as unknown as Engine;
  const add = engine.addTapeNode;
  // An own method hides the prototype's.
  engine.addTapeNode = (...args) => {
    add.apply(engine, args);
    own.gradientOf(engine.state.activeTape[engine.state.activeTape.length - 1]);
  };
  return {
    slices: own.slices,
    stop() {
      if (tracer !== own) return;
      tracer = undefined;
      delete (engine as Partial<Engine>).addTapeNode;
    },
  };
}
