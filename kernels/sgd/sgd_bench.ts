/**
 * Stochastic gradient descent side by side with tfjs's momentum optimizer, to which weight decay is added.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, type BenchRun, randomTensor } from "../runtime/bench.ts";
import { relu } from "../relu/relu.ts";
import { submit } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { MomentumSgd } from "./sgd.ts";
import { RESNET50_CASES, type SgdCase, TOLERANCE } from "./sgd_cases.ts";

function setup({ parameters, settings, rate }: SgdCase): BenchRun {
  const values = parameters.map(({ shape }) => randomTensor([...shape]));
  const variables = () => values.map((value) => tf.variable(value));
  const weights = { ours: variables(), stock: variables() };
  const sgd = new MomentumSgd(parameters, settings);
  const optimizer = tf.train.momentum(rate, settings.momentum);
  const update = {
    ours: (gradients: readonly tf.Tensor[]) => sgd.update(weights.ours, gradients, rate),
    stock(gradients: readonly tf.Tensor[]) {
      const named = weights.stock.map((weight, i) =>
        [weight.name, gradients[i].add(weight.mul(parameters[i].weightDecay))] as const
      );
      optimizer.applyGradients(named.map(([name, tensor]) => ({ name, tensor })));
    },
  };
  // A step as from the second on: weights and gradients lie where they are updated.
  const make = () => sgd.makeGradients(() => values.map((value) => relu(value)));
  const first = make();
  tf.tidy(() => [update.ours, update.stock].forEach((run) => run(first)));
  tf.dispose(first);
  submit();
  const gradients = make();
  tf.dispose(values);
  return {
    ours() {
      update.ours(gradients);
      return [];
    },
    stock() {
      update.stock(gradients);
      return [];
    },
    state: weights,
    tolerance: TOLERANCE,
    dispose() {
      sgd.dispose();
      optimizer.dispose();
      tf.dispose([weights.ours, weights.stock, gradients]);
    },
  };
}

/** All tensors of ResNet50, at the demo's width and at the paper's. */
export const SGD_BENCHES: readonly BenchCase[] = RESNET50_CASES.map((test) => {
  const count = test.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  // Weights and velocities are read and written, gradients read.
  return { op: "sgd", name: test.name, bytes: 4 * 5 * count, setup: () => setup(test) };
});
