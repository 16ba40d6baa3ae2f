import * as tf from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { RESNET50_CASES } from "../../kernels/batch_norm/batch_norm_cases.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import type { Layers } from "../../models/layers.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { architectureFor, CnnNetwork } from "../../models/networks.ts";

await initializeDevice();

Deno.test("the cases of ResNet50 are its distinct batch norms, each once", () => {
  const seen = new Set<string>();
  const keyOf = (shape: readonly number[], relu: boolean, residual: boolean) =>
    `[${shape}]${relu ? " relu" : ""}${residual ? " residual" : ""}`;
  const convBatchNorm: Layers["convBatchNorm"] = (x, filter, statistics, options) => {
    const y = stockLayers.convBatchNorm(x, filter, statistics, options);
    seen.add(keyOf(y.shape, options.relu, options.residual !== undefined));
    return y;
  };
  const convBatchNormForked: Layers["convBatchNormForked"] = (...given) => {
    const y = convBatchNorm(...given);
    return [y, y];
  };
  const architecture = { ...architectureFor("cnn", "tiny", 7), network: "cnn" as const };
  const network = new CnnNetwork(architecture, 1, { ...stockLayers, convBatchNorm, convBatchNormForked });
  tf.tidy(() => void network.logits(tf.zeros([16, 48, 48, 3]), { training: true }));
  network.dispose();
  const cases = RESNET50_CASES.map(({ shape, relu, residual }) => keyOf(shape, relu, residual));
  assertEquals(cases.toSorted(), [...seen].sort());
});
