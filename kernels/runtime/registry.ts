/**
 * Our kernels in tfjs's registry: those that take the place of tfjs's own, and those that tfjs has no name for.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu"; // registers the kernels that are replaced
import type { TensorInfo } from "@tensorflow/tfjs";

const BACKEND = "webgpu";

/** What tfjs hands to a kernel. */
export type KernelInputs = Record<string, TensorInfo>;
/** What tfjs hands to a kernel. */
export type KernelAttributes = Record<string, unknown>;

/** One of tfjs's kernels, and what runs in its place. */
export interface Replacement {
  /** tfjs's name, e.g. `Conv2D` */
  readonly name: string;
  /** returns undefined for what it does not take: then tfjs's own kernel runs */
  run(inputs: KernelInputs, attributes: KernelAttributes): TensorInfo | TensorInfo[] | undefined;
}

const stock = new Map<string, tf.KernelFunc>();

/**
 * tfjs's own kernel of that name, for benches and tests side by side.
 *
 * @throws {Error} if tfjs has none
 */
export function stockKernel(name: string): tf.KernelFunc {
  const kernel = stock.get(name) ?? tf.getKernel(name, BACKEND)?.kernelFunc;
  if (kernel === undefined) {
    throw new Error(`Cannot find kernel ${name} of backend ${BACKEND}: tfjs has none`);
  }
  return kernel;
}

function put(kernelName: string, kernelFunc: tf.KernelFunc): void {
  tf.unregisterKernel(kernelName, BACKEND);
  tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
}

/** Puts kernels in the place of tfjs's; what is replaced already stays. The one place that falls back to tfjs. */
export function replaceKernels(replacements: readonly Replacement[]): void {
  for (const { name, run } of replacements) {
    if (stock.has(name)) continue;
    const fallback = stockKernel(name);
    stock.set(name, fallback);
    put(
      name,
      (args) =>
        run(args.inputs as unknown as KernelInputs, args.attrs as unknown as KernelAttributes) ??
          fallback(args),
    );
  }
}

/** Takes tfjs's own kernels back. */
export function restoreKernels(): void {
  for (const [name, kernel] of stock) put(name, kernel);
  stock.clear();
}

/** Runs a body with tfjs's own kernels in the place of ours. */
export function withStockKernels<T>(body: () => T): T {
  const ours = [...stock.keys()].map((name) => ({ name, kernel: tf.getKernel(name, BACKEND).kernelFunc }));
  for (const [name, kernel] of stock) put(name, kernel);
  try {
    return body();
  } finally {
    for (const { name, kernel } of ours) put(name, kernel);
  }
}

/** A kernel that tfjs has no name for, with its gradient. */
export interface NewKernel {
  readonly name: string;
  run(inputs: KernelInputs, attributes: KernelAttributes): TensorInfo | TensorInfo[];
  /** undefined: it cannot be differentiated */
  readonly gradient?: Omit<tf.GradConfig, "kernelName">;
}

const added = new Set<string>();

/** Adds kernels under their own names; a second call does nothing. */
export function addKernels(kernels: readonly NewKernel[]): void {
  for (const { name, run, gradient } of kernels) {
    if (added.has(name)) continue;
    added.add(name);
    tf.registerKernel({
      kernelName: name,
      backendName: BACKEND,
      kernelFunc: ({ inputs, attrs }) =>
        run(inputs as unknown as KernelInputs, attrs as unknown as KernelAttributes),
    });
    if (gradient !== undefined) tf.registerGradient({ kernelName: name, ...gradient });
  }
}
