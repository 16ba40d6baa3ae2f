/**
 * Puts an ONNX model together, node by node, and writes it as protobuf.
 *
 * @module
 */
import onnxProto from "onnx-proto";
import { bytesOf, type HostTensor, toFloat32 } from "../weights/tensor.ts";

const { onnx } = onnxProto;

/** LayerNormalization came with 17; ONNX Runtime has read it since 1.12. */
const OPSET = 17;
const IR_VERSION = 8;
const FLOAT = onnx.TensorProto.DataType.FLOAT;
const INT64 = onnx.TensorProto.DataType.INT64;
const BOOL = onnx.TensorProto.DataType.BOOL;
const { AttributeType } = onnx.AttributeProto;

/** An attribute: a whole number, whole numbers, a text, or a real number. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

/** A size that is fixed, or the name of one that is not. */
export type Dimension = number | string;

/** A graph that grows; values are named by texts. */
export class OnnxGraph {
  readonly #nodes: InstanceType<typeof onnx.NodeProto>[] = [];
  readonly #initializers = new Map<string, InstanceType<typeof onnx.TensorProto>>();
  readonly #inputs: InstanceType<typeof onnx.ValueInfoProto>[] = [];
  readonly #outputs: InstanceType<typeof onnx.ValueInfoProto>[] = [];

  /** Adds an input of 32-bit floats and gives its name back. */
  input(name: string, shape: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, shape));
    return name;
  }

  /** Makes a value an output of 32-bit floats. */
  output(name: string, value: string, shape: readonly Dimension[]): void {
    this.#nodes.push(onnx.NodeProto.create({ opType: "Identity", input: [value], output: [name], name }));
    this.#outputs.push(valueInfo(name, shape));
  }

  /** Adds an operator and gives the name of its output back. */
  add(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    return this.addMany(opType, input, 1, attributes)[0];
  }

  /** Adds an operator with several outputs. */
  addMany(
    opType: string,
    input: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string[] {
    const name = `${opType}_${this.#nodes.length}`;
    const output = Array.from({ length: outputs }, (_, i) => outputs === 1 ? name : `${name}_${i}`);
    const attribute = Object.entries(attributes).map(([key, value]) => attributeOf(key, value));
    this.#nodes.push(onnx.NodeProto.create({ opType, input: [...input], output, name, attribute }));
    return output;
  }

  /** Adds 32-bit floats; a name that is taken must be of the same tensor. */
  floats(name: string, shape: readonly number[], data: Float32Array): string {
    const bytes = bytesOf({ dtype: "F32", shape: [...shape], data: data as Float32Array<ArrayBuffer> });
    return this.#constant(name, FLOAT, shape, bytes);
  }

  /** Adds a tensor as 32-bit floats. */
  tensor(name: string, tensor: HostTensor): string {
    return this.floats(name, tensor.shape, toFloat32(tensor));
  }

  /** Adds whole numbers: shapes, axes, indices; a scalar if `shape` is []. */
  integers(values: readonly number[], shape: readonly number[] = [values.length]): string {
    const data = BigInt64Array.from(values, BigInt);
    const name = `integers_${shape.length === 0 ? "scalar_" : ""}${values.join("_")}`;
    return this.#constant(name, INT64, shape, new Uint8Array(data.buffer));
  }

  /** Adds truth values. */
  booleans(name: string, shape: readonly number[], values: readonly boolean[]): string {
    return this.#constant(name, BOOL, shape, Uint8Array.from(values, Number));
  }

  #constant(name: string, dataType: number, shape: readonly number[], rawData: Uint8Array): string {
    const known = this.#initializers.get(name);
    if (known === undefined) {
      this.#initializers.set(name, onnx.TensorProto.create({ name, dataType, dims: [...shape], rawData }));
    } else if (known.dims?.join() !== shape.join() || !isEqual(known.rawData!, rawData)) {
      throw new Error(`Cannot add constant ${name} to the ONNX graph: the name is taken by another`);
    }
    return name;
  }

  /**
   * The model's bytes.
   *
   * @param metadata for whoever opens the model: what goes in, in words
   */
  encode(name: string, metadata: Readonly<Record<string, string>>): Uint8Array {
    const graph = {
      name,
      node: this.#nodes,
      initializer: [...this.#initializers.values()],
      input: this.#inputs,
      output: this.#outputs,
    };
    return onnx.ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: "fervid",
      opsetImport: [{ domain: "", version: OPSET }],
      graph,
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    }).finish();
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function valueInfo(name: string, shape: readonly Dimension[]) {
  const dim = shape.map((size) => typeof size === "number" ? { dimValue: size } : { dimParam: size });
  return onnx.ValueInfoProto.create({ name, type: { tensorType: { elemType: FLOAT, shape: { dim } } } });
}

function attributeOf(name: string, value: Attribute) {
  if (typeof value === "number") return { name, type: AttributeType.INT, i: value };
  if (typeof value === "string") {
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  }
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: [...value] };
}
