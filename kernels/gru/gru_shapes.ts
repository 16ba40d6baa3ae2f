/**
 * Checks of what {@link gru} is given.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";

type Weights = Readonly<Record<"inputWeight" | "hiddenWeight" | "inputBias" | "hiddenBias", TensorInfo>>;

function requireTensor(name: string, { shape, dtype }: TensorInfo, expected: readonly number[]): void {
  if (dtype !== "float32") throw new TypeError(`Cannot run gru: ${name} is ${dtype}; expected float32`);
  if (shape.length !== expected.length || shape.some((size, axis) => size !== expected[axis])) {
    throw new RangeError(
      `Cannot run gru: ${name} has shape [${shape.join(", ")}]; expected [${expected.join(", ")}]`,
    );
  }
}

/**
 * Requires that shapes and types fit.
 *
 * @throws {RangeError} naming the tensor, its shape and the expected one
 * @throws {TypeError} for other types than float32
 */
export function checkGru(
  x: TensorInfo,
  weights: readonly (readonly Weights[])[],
  initialState: TensorInfo | undefined,
  clipsAtOnce: number,
): void {
  if (x.shape.length !== 3 || x.shape.some((size) => size === 0)) {
    throw new RangeError(
      `Cannot run gru: x has shape [${x.shape.join(", ")}]; expected [B, T, D] with no empty dimension`,
    );
  }
  requireTensor("x", x, x.shape);
  const directions = weights[0]?.length;
  if (directions !== 1 && directions !== 2) {
    throw new RangeError(
      `Cannot run gru: weights has ${weights.length} layers of ${
        directions ?? 0
      } directions; expected 1 or more of 1 or 2`,
    );
  }
  const [clips, , depth] = x.shape;
  const hidden = weights[0][0].hiddenWeight.shape[0];
  if (!(hidden > 0)) throw new RangeError("Cannot run gru: hiddenWeight is empty; expected [G, 3G]");
  weights.forEach((layer, l) => {
    if (layer.length !== directions) {
      throw new RangeError(
        `Cannot run gru: layer ${l} has ${layer.length} directions; expected ${directions} as layer 0`,
      );
    }
    layer.forEach((w, d) => {
      const where = `of layer ${l}, direction ${d}`;
      requireTensor(`inputWeight ${where}`, w.inputWeight, [
        l === 0 ? depth : directions * hidden,
        3 * hidden,
      ]);
      requireTensor(`hiddenWeight ${where}`, w.hiddenWeight, [hidden, 3 * hidden]);
      requireTensor(`inputBias ${where}`, w.inputBias, [3 * hidden]);
      requireTensor(`hiddenBias ${where}`, w.hiddenBias, [3 * hidden]);
    });
  });
  if (initialState !== undefined) {
    requireTensor("initialState", initialState, [weights.length * directions, clips, hidden]);
  }
  if (!(clipsAtOnce >= 1) || clipsAtOnce % 1 > 0) {
    throw new RangeError(`Cannot run gru: clipsAtOnce is ${clipsAtOnce}; expected a whole number above 0`);
  }
}
