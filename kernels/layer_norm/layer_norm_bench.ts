/**
 * Layer normalisation, forward and backward, side by side with TensorFlow.js: its own layer
 * (`tf.layers.layerNormalization`), and the shortest graph of its ops.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { layerNorm } from "./layer_norm.ts";
import { LAYER_NORM_CASES } from "./layer_norm_cases.ts";

const EPSILON = 1e-5;

/** The graph of x, gamma, beta. */
function graph(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor {
  const centred = x.sub(x.mean(-1, true));
  const variance = centred.square().mean(-1, true);
  return centred.mul(variance.add(EPSILON).rsqrt()).mul(gamma).add(beta);
}

function benchOf(name: string, shape: number[], against: "layer" | "graph"): BenchCase {
  const size = shape[shape.length - 1];
  const elements = sizeOf(shape);
  return {
    op: "layer_norm",
    name: `${name} [${shape}], against ${against === "layer" ? "tf.layers" : "plain ops"}`,
    bytes: 4 * (4 * elements + 4 * size), // x, dy, y, dx; gamma, beta and their gradients
    setup() {
      const [x, dy] = [randomTensor(shape), randomTensor(shape)];
      const [gamma, beta] = [randomTensor<tf.Rank.R1>([size]), randomTensor<tf.Rank.R1>([size])];
      const layer = tf.layers.layerNormalization({ epsilon: EPSILON });
      layer.build(shape);
      layer.setWeights([gamma, beta]);
      const ours = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) =>
        layerNorm(x, gamma as tf.Tensor1D, beta as tf.Tensor1D, EPSILON);
      const both = (f: typeof graph) => {
        const { value, grads } = tf.valueAndGrads(f)([x, gamma, beta], dy);
        return [value, ...grads];
      };
      const layers = () => {
        const inputs = [x, ...layer.getWeights()]; // the layer's own variables
        const { value, grads } = tf.engine().gradients(() => layer.apply(x) as tf.Tensor, inputs, dy);
        return [value, ...grads];
      };
      return {
        ours: () => both(ours),
        stock: () => against === "layer" ? layers() : both(graph),
        tolerance: 5e-5, // two float32 results, sums of D and of M terms
        dispose() {
          tf.dispose([x, dy, gamma, beta, ...layer.getWeights()]);
        },
      };
    },
  };
}

/** The networks' layers. */
export const LAYER_NORM_BENCHES: readonly BenchCase[] = LAYER_NORM_CASES
  .filter(({ name }) => name.startsWith("cnn_transformer"))
  .flatMap(({ name, shape }) =>
    (["layer", "graph"] as const).map((against) => benchOf(name, [...shape], against))
  );
