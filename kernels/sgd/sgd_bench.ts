/**
 * Stochastic gradient descent side by side with tfjs's momentum optimizer, to which weight decay is added.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, type BenchRun, randomTensor } from "../runtime/bench.ts";
import { MomentumSgd } from "./sgd.ts";
import { RESNET50_CASES, type SgdCase, TOLERANCE } from "./sgd_cases.ts";

function setup({ parameters, settings, rate }: SgdCase): BenchRun {
  const values = parameters.map(({ shape }) => randomTensor([...shape]));
  const gradients = parameters.map(({ shape }) => randomTensor([...shape]));
  const variables = () => values.map((value) => tf.variable(value));
  const weights = { ours: variables(), stock: variables() };
  tf.dispose(values);
  const sgd = new MomentumSgd(parameters, settings);
  const optimizer = tf.train.momentum(rate, settings.momentum);
  return {
    ours() {
      sgd.update(weights.ours, gradients, rate);
      return [];
    },
    stock() {
      const named = weights.stock.map((weight, i) =>
        [weight.name, gradients[i].add(weight.mul(parameters[i].weightDecay))] as const
      );
      optimizer.applyGradients(named.map(([name, tensor]) => ({ name, tensor })));
      return [];
    },
    state: weights,
    tolerance: TOLERANCE,
    clock: "wall", // timestamps around each of 322 copies would take longer than the copies
    dispose() {
      sgd.dispose();
      optimizer.dispose();
      tf.dispose([weights.ours, weights.stock, gradients]);
    },
  };
}

/** All tensors of ResNet50, at the demo's width and at the paper's. */
export const SGD_BENCHES: readonly BenchCase[] = RESNET50_CASES.map((test) => {
  const count = test.parameters.reduce((sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1), 0);
  // Weights and velocities are read and written, gradients read.
  return { op: "sgd", name: test.name, bytes: 4 * 5 * count, setup: () => setup(test) };
});
