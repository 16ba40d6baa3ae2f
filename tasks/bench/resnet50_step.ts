/**
 * One whole training step of ResNet50, the stock graph against ours: forward, backward, and the update.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { layerFlops, resnet50Layers } from "../../kernels/conv2d/conv2d_bench.ts";
import type { BenchCase, BenchRun } from "../../kernels/runtime/bench.ts";
import type { Layers } from "../../models/layers.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { architectureFor, CnnNetwork } from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import { type Inputs, tensorsOf, TrainingStep } from "../../models/training_step.ts";

const IMAGES = 16;
const CLASSES = 7;
const RATE = 0.01;
const MOMENTUM = 0.9;

function networkOf(layers: Layers): CnnNetwork {
  const architecture = { ...architectureFor("cnn", "tiny", CLASSES), network: "cnn" as const };
  const network = new CnnNetwork(architecture, 1, layers);
  // A residual branch starts with a factor of 0, behind which every gradient is 0: nothing would be compared.
  for (const { name, variable } of network.parameters.trainable()) {
    if (name.endsWith("_increase_bn.weight")) {
      tf.tidy(() => variable.assign(tf.fill(variable.shape, 0.5)));
    }
  }
  return network;
}

/** The momentum buffers of tfjs's optimizer, in the weights' order; its public way to them is asynchronous. */
function velocitiesOf(optimizer: tf.MomentumOptimizer, weights: readonly tf.Variable[]): tf.Variable[] {
  const { accumulations } = optimizer as unknown as {
    accumulations: readonly { readonly originalName: string; readonly variable: tf.Variable }[];
  };
  const byName = new Map(accumulations.map(({ originalName, variable }) => [originalName, variable]));
  return weights.map(({ name }) => byName.get(`${name}/momentum`)!);
}

/** How far two tensors are apart, as a share of the second's Euclidean length. */
function distance(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return a.sub(b).norm().div(b.norm());
}

function setup(): BenchRun {
  const { size } = architectureFor("cnn", "tiny", CLASSES);
  const shape = [IMAGES, size, size, 3];
  const batch = {
    images: {
      values: Float32Array.from({ length: IMAGES * size * size * 3 }, () => 2 * Math.random() - 1),
      shape,
    },
    labels: { values: Int32Array.from({ length: IMAGES }, (_, i) => i % CLASSES), shape: [IMAGES] },
  };
  const networks = { ours: networkOf(kernelLayers), stock: networkOf(stockLayers) };
  const lossOf = (network: CnnNetwork, layers: Layers, { images, labels }: Inputs<keyof typeof batch>) =>
    layers.softmaxCrossEntropy(
      network.logits(images as tf.Tensor4D, { training: true }),
      labels as tf.Tensor1D,
    );
  const variables = (network: CnnNetwork) => network.parameters.trainable().map(({ variable }) => variable);
  // tfjs's optimizers have no weight decay, so neither side has.
  const ours = new Sgd(networks.ours.parameters, { momentum: MOMENTUM, weightDecay: 0 });
  const step = new TrainingStep<keyof typeof batch>(
    networks.ours.parameters,
    ours,
    (inputs) => lossOf(networks.ours, kernelLayers, inputs),
  );
  const stock = tf.train.momentum(RATE, MOMENTUM);
  const stockLoss = () => lossOf(networks.stock, stockLayers, tensorsOf(batch));
  let state: BenchRun["state"];
  return {
    ours: () => step.run(batch, 0, RATE),
    stock: () => stock.minimize(stockLoss, true, variables(networks.stock)) as tf.Scalar,
    // Distances beside 1, not the tensors: one element's share of a tensor's largest says little here, see the tolerance.
    get state() {
      state ??= tf.tidy(() => {
        const weights = { ours: variables(networks.ours), stock: variables(networks.stock) };
        // After one step from velocities of 0 these are the gradients.
        const gradients = { ours: ours.velocities(), stock: velocitiesOf(stock, weights.stock) };
        const distances = [gradients, weights].flatMap((both) =>
          both.ours.map((tensor, i) => distance(tensor, both.stock[i]))
        );
        return { ours: distances.map((share) => share.add(1)), stock: distances.map(() => tf.scalar(1)) };
      });
      return state;
    },
    // Of gradients and weights, each by itself. Measured on lavapipe in 47 steps of random images: 2e-5, but a ReLU whose
    // input is 0 up to rounding may fall on either side, which it does in three steps of four: then up to 0.04, and up to
    // 0.22 of the largest element, since a pixel is one of 64 rows in the last stage. Where dFilter sums 4 pixels: 1.0.
    tolerance: 0.1,
    clock: "wall",
    dispose() {
      tf.dispose(state as unknown as tf.TensorContainer);
      step.release();
      ours.dispose();
      stock.dispose();
      networks.ours.dispose();
      networks.stock.dispose();
    },
  };
}

/** Forward, the filter's gradient, and the input's, which the first layer does not need. */
const FLOPS = resnet50Layers().reduce(
  (sum, layer) => sum + layer.count * (layer.name === "conv1" ? 2 : 3) * layerFlops(layer),
  0,
);

/** Width 16, 48x48 pixels, a batch of 16. */
export const RESNET50_STEP: BenchCase = {
  op: "resnet50_step",
  name: "resnet50 step, width 16, 48x48, batch 16",
  flops: FLOPS,
  setup,
};
