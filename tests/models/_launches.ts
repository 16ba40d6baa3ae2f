/** Which of a training step's three ways a step took. */
import { CommandGraph } from "../../kernels/mod.ts";

export type StepKind = "single" | "captured" | "launched";

const ORDER: readonly StepKind[] = ["single", "captured", "launched"];

/** What steps of one shape that begin like this should be. */
export function kindsFrom(first: StepKind, steps: number): StepKind[] {
  const begin = ORDER.indexOf(first);
  return Array.from({ length: steps }, (_, i) => ORDER[Math.min(begin + i, 2)]);
}

/** Runs one step. */
export function watchStep<T>(run: () => T): { readonly value: T; readonly kind: StepKind } {
  const { launch, output } = CommandGraph.prototype;
  let kind: StepKind = "single";
  CommandGraph.prototype.launch = function () {
    kind = "launched";
    launch.call(this);
  };
  CommandGraph.prototype.output = function () {
    if (kind === "single") kind = "captured"; // read without a launch
    return output.call(this);
  };
  try {
    const value = run();
    return { value, kind };
  } finally {
    Object.assign(CommandGraph.prototype, { launch, output });
  }
}
