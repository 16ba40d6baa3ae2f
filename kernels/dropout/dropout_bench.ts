/**
 * Dropout, forward and backward, side by side with a mask that is drawn on the host and uploaded, as `tf.dropout` does;
 * here the same mask, so that both sides can be compared. The clock is the host's, which draws.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, elementwiseBench } from "../runtime/bench.ts";
import { dropout } from "./dropout.ts";
import { DROPOUT_CASES, DROPOUT_TOLERANCE } from "./dropout_cases.ts";
import { dropoutMaskRef } from "./dropout_ref.ts";

const KEY = { seed: 1, layer: 2, step: 3 };

/** The networks' layers. */
export const DROPOUT_BENCHES: readonly BenchCase[] = DROPOUT_CASES
  .filter(({ name }) => name.startsWith("cnn_transformer"))
  .map(({ name, shape, rate }) =>
    elementwiseBench({
      op: "dropout",
      name,
      shape,
      ours: (x) => dropout(x, rate, KEY),
      stock: (x) => x.mul(tf.tensor(dropoutMaskRef(x.size, rate, KEY), x.shape)),
      tolerance: 2 * DROPOUT_TOLERANCE,
      clock: "wall",
    })
  );
