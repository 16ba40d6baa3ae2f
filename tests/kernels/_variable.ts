/** Variables of tests. */
import * as tf from "@tensorflow/tfjs";

/** A variable that has its buffer alone; frees what it begins with. */
export function variable(initial: tf.Tensor, trainable = true): tf.Variable {
  const result = tf.variable(initial, trainable);
  initial.dispose();
  return result;
}
