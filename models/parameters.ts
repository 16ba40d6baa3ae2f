/**
 * A network's named tensors: how they lie in memory, how they lie in files, and how they begin.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { RandomStream } from "../data/random.ts";
import { sizeOf } from "../kernels/runtime/shapes.ts";
import { sharesBuffer } from "../kernels/runtime/tensors.ts";
import { type HostTensor, hostTensor, type TensorLike, toFloat32 } from "./weights/tensor.ts";

/**
 * `conv`: [R, S, C, K] in memory, [K, C, R, S] in files. `linear`: [in, out] in memory, [out, in] in files.
 * `vector`: [n] in both. `buffer`: a vector that is not trained, e.g. a running mean.
 */
export type ParameterKind = "conv" | "linear" | "vector" | "buffer";

/** Values to begin with, in memory layout. */
export type Initializer = (shape: readonly number[], random: RandomStream) => Float32Array;

interface Parameter {
  readonly kind: ParameterKind;
  readonly variable: tf.Variable;
}

/** All values equal. */
export function constant(value: number): Initializer {
  return (shape) => new Float32Array(sizeOf(shape)).fill(value);
}

/** Kaiming's normal with fan-out and ReLU gain, for [R, S, C, K]: deviation sqrt(2 / (R S K)). */
export const kaimingFanOut: Initializer = (shape, random) => {
  const [rows, columns, , outputs] = shape;
  return normal(Math.sqrt(2 / (rows * columns * outputs)))(shape, random);
};

/**
 * Kaiming's normal with fan-in and ReLU gain: deviation sqrt(2 / (R S C)) for [R, S, C, K], sqrt(2 / D) for [D, K].
 * Keeps the activations' variance from layer to layer (He et al. 2015, section 2.2), which a deep network needs that
 * has no normalisation.
 */
export const kaimingFanIn: Initializer = (shape, random) => {
  const fanIn = sizeOf(shape.slice(0, -1));
  return normal(Math.sqrt(2 / fanIn))(shape, random);
};

/** Uniform in [-bound, bound]; PyTorch's Linear uses 1 / sqrt(in), its GRU 1 / sqrt(hidden). */
export function uniform(bound: number): Initializer {
  return (shape, random) => Float32Array.from({ length: sizeOf(shape) }, () => random.uniform(-bound, bound));
}

/** Normal with the given deviation. */
export function normal(deviation: number): Initializer {
  return (shape, random) => Float32Array.from({ length: sizeOf(shape) }, () => random.normal(0, deviation));
}

/** The axes that take a tensor of this kind from memory to its file layout. */
function fileAxes(kind: ParameterKind): readonly number[] | undefined {
  if (kind === "conv") return [3, 2, 0, 1];
  if (kind === "linear") return [1, 0];
  return undefined;
}

/** Reorders axes on the host: out[i] has shape[axes[i]]. */
export function transpose(
  data: Float32Array,
  shape: readonly number[],
  axes: readonly number[],
): { data: Float32Array; shape: number[] } {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * shape[i + 1];
  const outShape = axes.map((axis) => shape[axis]);
  const outStrides = axes.map((axis) => strides[axis]);
  const out = new Float32Array(data.length);
  const index = new Array<number>(shape.length).fill(0);
  let source = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[source];
    for (let axis = index.length - 1; axis >= 0; axis--) {
      source += outStrides[axis];
      if (++index[axis] < outShape[axis]) break;
      source -= outStrides[axis] * outShape[axis];
      index[axis] = 0;
    }
  }
  return { data: out, shape: outShape };
}

/** The named tensors of a network, in the order in which they were added. */
export class Parameters {
  readonly #parameters = new Map<string, Parameter>();
  readonly #seed: number;

  /** @param seed of the initial values; each tensor draws from its own stream, named by the tensor */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /**
   * Adds a tensor.
   *
   * @param shape in memory layout
   * @throws {Error} if the name is taken
   */
  add(name: string, kind: ParameterKind, shape: number[], initial: Initializer): void {
    if (this.#parameters.has(name)) throw new Error(`Cannot add parameter ${name}: the name is taken`);
    const values = tf.tensor(initial(shape, new RandomStream(this.#seed, "parameter", name)), shape);
    const variable = tf.variable(values, kind !== "buffer");
    values.dispose();
    this.#parameters.set(name, { kind, variable });
  }

  /**
   * The tensor of that name.
   *
   * @throws {Error} if there is none
   */
  get<T extends tf.Tensor = tf.Tensor>(name: string): T & tf.Variable {
    const parameter = this.#parameters.get(name);
    if (parameter === undefined) {
      throw new Error(`Cannot find parameter ${name}: this network has none of that name`);
    }
    return parameter.variable as unknown as T & tf.Variable;
  }

  /** Names in order. */
  names(): string[] {
    return [...this.#parameters.keys()];
  }

  /** The trained tensors whose names are `accepted` (all by default), in order. */
  trainable(accepted: (name: string) => boolean = () => true): { name: string; variable: tf.Variable }[] {
    return [...this.#parameters].filter(([name, { kind }]) => kind !== "buffer" && accepted(name))
      .map(([name, { variable }]) => ({ name, variable }));
  }

  /** Which data each tensor has, in order; another one after `assign`. */
  dataIds(): object[] {
    return [...this.#parameters.values()].map(({ variable }) => variable.dataId);
  }

  /** True if a running statistic, which training updates in place, has its buffer with another tensor. */
  get sharesStatistics(): boolean {
    return [...this.#parameters.values()].some(({ kind, variable }) =>
      kind === "buffer" && sharesBuffer(variable)
    );
  }

  /** Number of trained values. */
  get count(): number {
    return this.trainable().reduce((sum, { variable }) => sum + variable.size, 0);
  }

  /** Reads all tensors from the device, in file layout. */
  async toHost(): Promise<Map<string, HostTensor>> {
    return await this.exportLike(
      [...this.#parameters].map(([name, { variable }]) => ({ name, tensor: variable })),
    );
  }

  /** Reads tensors that have the shapes of the named parameters, e.g. momenta, in file layout. */
  async exportLike(
    tensors: readonly { name: string; tensor: tf.Tensor }[],
  ): Promise<Map<string, HostTensor>> {
    const values = await Promise.all(tensors.map(({ tensor }) => tensor.data<"float32">()));
    return new Map(tensors.map(({ name, tensor }, i) => {
      const axes = fileAxes(this.#kindOf(name));
      const { data, shape } = axes
        ? transpose(values[i], tensor.shape, axes)
        : { data: values[i], shape: tensor.shape };
      return [name, { dtype: "F32", shape: [...shape], data: Float32Array.from(data) }];
    }));
  }

  /** A tensor from its file layout; the inverse of {@link exportLike}. */
  importLike(name: string, tensor: HostTensor): tf.Tensor {
    const axes = fileAxes(this.#kindOf(name));
    const { shape } = tensor;
    const values = toFloat32(tensor);
    if (axes === undefined) return tf.tensor(values, shape);
    const inverse = axes.map((_, i) => axes.indexOf(i));
    const turned = transpose(values, shape, inverse);
    return tf.tensor(turned.data, turned.shape);
  }

  /**
   * Sets the tensors whose names are `accepted` (all of them by default) from file layout; stored ones are read one
   * at a time, after all have been checked.
   *
   * @throws {Error} listing the missing, unused and misshapen names
   */
  load(tensors: ReadonlyMap<string, TensorLike>, accepted: (name: string) => boolean = () => true): void {
    const names = this.names().filter(accepted);
    const problems: string[] = [];
    for (const name of names) {
      const tensor = tensors.get(name);
      const wanted = this.#fileShape(name);
      if (tensor === undefined) problems.push(`${name} is missing`);
      else if (tensor.shape.join() !== wanted.join()) {
        problems.push(`${name} is [${tensor.shape.join(", ")}] instead of [${wanted.join(", ")}]`);
      }
    }
    const known = new Set(names);
    for (const name of tensors.keys()) if (!known.has(name)) problems.push(`${name} is unused`);
    if (problems.length > 0) {
      const shown = problems.slice(0, 12).join("; ");
      const more = problems.length > 12 ? `; and ${problems.length - 12} more` : "";
      throw new Error(`Cannot load weights: ${shown}${more}`);
    }
    for (const name of names) {
      const tensor = tensors.get(name)!;
      const values = hostTensor(tensor);
      const value = this.importLike(name, values);
      this.get(name).assign(value);
      value.dispose();
      // What was read for this and copied by the transpose is given back at once, not at the next collection.
      if (tensor !== values && fileAxes(this.#kindOf(name))) (values.data.buffer as ArrayBuffer).transfer(0);
    }
  }

  /** Frees all tensors. */
  dispose(): void {
    for (const { variable } of this.#parameters.values()) variable.dispose();
    this.#parameters.clear();
  }

  #kindOf(name: string): ParameterKind {
    this.get(name);
    return this.#parameters.get(name)!.kind;
  }

  #fileShape(name: string): number[] {
    const { kind, variable } = this.#parameters.get(name)!;
    const axes = fileAxes(kind);
    return axes ? axes.map((axis) => variable.shape[axis]) : variable.shape;
  }
}
