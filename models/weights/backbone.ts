/**
 * A file's ResNet50 as this toolkit has it: dag names, PyTorch's layouts, RGB input, 32-bit floats.
 *
 * @module
 */
import { asRgb, type InputConvention } from "../../data/input_convention.ts";
import type { WeightsFile } from "./file.ts";
import { type Hints, identify, type Identity, type ResNetGraph, resolve } from "./identify.ts";
import { backboneNames, classifierNames, type ParameterNames } from "./resnet50_names.ts";
import { contiguousStrides, readStrided } from "./strided.ts";
import { bytesOf, mapTensor, type StoredTensor } from "./tensor.ts";

/** Keras's batch norms add 1e-3 to the variance, ours 1e-5; the difference goes into the variance. */
const KERAS_EPSILON_EXCESS = 1e-3 - 1e-5;

/** A ResNet50 of a file. */
export interface PretrainedResNet50 {
  readonly path: string;
  readonly identity: Identity;
  readonly graph: ResNetGraph;
  /** of the weights as they are given here: always RGB */
  readonly convention: InputConvention;
  readonly width: number;
  /** by dag name: the backbone, and the classifier if the file has one */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** undefined: no classifier */
  readonly classes: number | undefined;
  /** names in the file that a model does not need: counters, an optimizer's state */
  readonly ignored: readonly string[];
}

/**
 * Finds the ResNet50 in a file.
 *
 * @throws {Error} listing missing, unused and misshapen tensors; if the file is no ResNet50; if its graph or input
 * convention is unknown and the hints don't say it, or contradict it
 */
export function pretrainedResNet50(file: WeightsFile, hints: Hints = {}): PretrainedResNet50 {
  const identity = identify(file);
  if (identity === undefined) {
    const shown = [...file.tensors.keys()].slice(0, 3).join(", ");
    throw new Error(
      `Cannot use ${file.path}: it is no ResNet50 in dag, torchvision or Keras names (it has ${shown}, ...)`,
    );
  }
  const { graph, convention } = resolve(file.path, identity, hints);
  const { prefix, naming, width, classes } = identity;
  const names = [
    ...backboneNames(width),
    ...(classes === undefined ? [] : classifierNames(width, classes)),
  ];
  const problems: string[] = [];
  const tensors = new Map<string, StoredTensor>();
  const used = new Set<string>();
  for (const name of names) {
    const given = prefix + name[naming];
    const tensor = file.tensors.get(given);
    used.add(given);
    if (tensor === undefined) problems.push(`${given} is missing`);
    else {
      const { shape } = name;
      const converted = convertTensor(tensor, name, identity, convention);
      if (converted === undefined) {
        problems.push(`${given} is [${tensor.shape.join(", ")}], which is no [${shape.join(", ")}]`);
      } else tensors.set(name.dag, converted);
    }
  }
  const left = [...file.tensors.keys()].filter((name) => !used.has(name));
  const isBeside = besideModel(prefix, file.groups, used);
  const ignored = left.filter((name) => isIgnorable(name) || isBeside(name));
  const accepted = new Set(ignored);
  for (const name of left) if (!accepted.has(name)) problems.push(`${name} is unused`);
  if (problems.length > 0) throw new Error(problemText(file.path, identity, problems));
  return {
    path: file.path,
    identity,
    graph,
    convention: asRgb(convention),
    width,
    tensors,
    classes,
    ignored,
  };
}

const SHOWN_PROBLEMS = 20;

function problemText(path: string, { description }: Identity, problems: readonly string[]): string {
  const shown = problems.slice(0, SHOWN_PROBLEMS).join("; ");
  const more = problems.length > SHOWN_PROBLEMS ? `; and ${problems.length - SHOWN_PROBLEMS} more` : "";
  return `Cannot use ${path} as ${description}: ${shown}${more}`;
}

/** True for our own optimizer's state, and for batch norms' counters. */
function isIgnorable(name: string): boolean {
  return name.startsWith("momentum/") || name.endsWith(".num_batches_tracked");
}

/** Tells what lies beside the model in a checkpoint: outside of the dict that holds it, or in a dict within that one. */
function besideModel(
  prefix: string,
  groups: readonly string[],
  used: ReadonlySet<string>,
): (name: string) => boolean {
  const enclosing = groups.filter((group) => prefix.startsWith(group));
  const within = groups.filter((group) => !enclosing.includes(group));
  // A model whose layers are dicts themselves: a dict of which nothing is used is another layer, as a larger model has.
  const isNested = [...used].some((name) => within.some((group) => name.startsWith(group)));
  return (name) =>
    enclosing.some((group) => !name.startsWith(group)) ||
    (!isNested && within.some((group) => name.startsWith(group)));
}

/** The tensor in our layout; undefined if its shape does not fit. */
function convertTensor(
  tensor: StoredTensor,
  { dag, shape }: ParameterNames,
  { naming }: Identity,
  { order }: InputConvention,
): StoredTensor | undefined {
  const fits = (wanted: readonly number[]) => tensor.shape.join() === wanted.join();
  const ours = [...shape];
  if (naming === "keras") {
    if (!fits(kerasAxes(ours).map((axis) => ours[axis]))) return undefined;
  } else if (!fits(ours) && !(ours.length === 2 && fits([...ours, 1, 1]))) { // the dag classifier is a 1x1 convolution
    return undefined;
  }
  const isStem = dag === "conv1_7x7_s2.weight";
  return mapTensor(tensor, ours, (values) => {
    let data = naming === "keras" ? fromKeras(values, ours) : values;
    if (isStem && order === "bgr") data = reverseChannels(data, ours);
    if (naming === "keras" && dag.endsWith(".running_var")) {
      data = data.map((variance) => variance + KERAS_EPSILON_EXCESS);
    }
    return data;
  });
}

/** Which of PyTorch's axes Keras's are: HWIO for filters, [in, out] for linear layers. */
function kerasAxes(shape: readonly number[]): number[] {
  if (shape.length === 4) return [2, 3, 1, 0];
  return shape.length === 2 ? [1, 0] : [0];
}

/** Reorders Keras's values to the given shape. */
function fromKeras(values: Float32Array<ArrayBuffer>, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const axes = kerasAxes(shape);
  const kerasStrides = contiguousStrides(axes.map((axis) => shape[axis]));
  const strides = shape.map((_, axis) => kerasStrides[axes.indexOf(axis)]);
  const bytes = bytesOf({ dtype: "F32", shape: [...shape], data: values });
  const view = { dtype: "F32", shape, strides, offset: 0 } as const;
  return readStrided(view, (offset, length) => bytes.subarray(offset, offset + length)) as typeof values;
}

/** Turns the input channels of a filter [K, C, R, S] round. */
function reverseChannels(
  values: Float32Array<ArrayBuffer>,
  [outputs, channels, rows, columns]: readonly number[],
) {
  const plane = rows * columns;
  const turned = new Float32Array(values.length);
  for (let k = 0; k < outputs; k++) {
    for (let c = 0; c < channels; c++) {
      const from = (k * channels + c) * plane;
      turned.set(values.subarray(from, from + plane), (k * channels + channels - 1 - c) * plane);
    }
  }
  return turned;
}
