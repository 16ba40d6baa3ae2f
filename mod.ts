/**
 * Fervid: facial expression recognition in in-the-wild video with hand-written WGSL kernels on TensorFlow.js.
 *
 * ```ts
 * import * as tf from "@tensorflow/tfjs";
 * import { architectureFor, CnnNetwork, createNetwork, initializeDevice } from "@fervid/fervid";
 *
 * const adapter = await initializeDevice();
 * const network = createNetwork(architectureFor("cnn", "tiny", 7), 1) as CnnNetwork;
 * const images = tf.zeros<tf.Rank.R4>([1, 48, 48, 3]);
 * console.log(adapter.description, await network.logits(images, { training: false }).data());
 * ```
 *
 * @module
 */
export * from "./data/aff_wild2/mod.ts";
export { type SynthesisOptions, type SynthesisResult, synthesize } from "./data/synthetic/mod.ts";
export * from "./kernels/mod.ts";
export { type AdapterRecord, initializeDevice } from "./kernels/runtime/device.ts";
export { combine, searchWeights, type WeightSearch, type WeightSearchOptions } from "./models/ensemble.ts";
export type { Layers } from "./models/layers.ts";
export * from "./models/metrics.ts";
export {
  type Architecture,
  architectureFor,
  CnnNetwork,
  createNetwork,
  type Network,
  type NetworkName,
  TemporalNetwork,
} from "./models/networks.ts";
export { exportEnsemble, exportNetwork } from "./models/onnx/export.ts";
export { pretrainedResNet50 } from "./models/weights/backbone.ts";
export { loadPretrained } from "./models/weights/load.ts";
export { openWeights } from "./models/weights/open.ts";
export { readSafetensors, writeSafetensors } from "./models/weights/safetensors.ts";
