/**
 * What every reader gives: a file's tensors by name, not yet read, and what it says of them.
 *
 * @module
 */
import { type ByteSource, refuse } from "./source.ts";
import type { StoredTensor } from "./tensor.ts";

/** The formats that can be read. */
export type WeightsFormat =
  | "safetensors"
  | "PyTorch zip"
  | "PyTorch old pickle stream"
  | "numpy pickle"
  | "numpy npz"
  | "Keras HDF5";

/** What a reader finds. */
export interface WeightsContent {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** prefixes of the names that came from dicts within the dict, e.g. `state_dict.` */
  readonly groups?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An open file of weights; close it when its tensors have been read. */
export interface WeightsFile extends Required<WeightsContent>, Disposable {
  readonly path: string;
  readonly format: WeightsFormat;
  /** bytes of the file */
  readonly size: number;
}

const FREE_BYTES = 64 << 20;
const MAX_EXPANSION = 16;

/**
 * Refuses claims of far more values than the file has bytes: views that repeat an element, packed zeros, or names that
 * share one storage can claim any size.
 *
 * @param what claims them, in the plural
 * @throws {Error} giving both sizes
 */
export function requirePlausible(source: ByteSource, what: string, claimed: number): void {
  if (!(claimed <= FREE_BYTES + MAX_EXPANSION * source.size)) {
    refuse(source, `its ${what} claim ${claimed} bytes of values but the file has ${source.size} bytes`);
  }
}
