/**
 * The tensors that a network has, in file layout: what is exported must be these.
 *
 * @module
 */
import type { Architecture } from "../networks.ts";
import { VGG16_CHANNELS, VGG16_CONVOLUTIONS, VGG16_HIDDEN_PER_WIDTH } from "../vgg16.ts";
import { backboneNames, classifierNames } from "../weights/resnet50_names.ts";
import type { TrainedNetwork } from "./layers.ts";

type Shapes = [name: string, shape: readonly number[]][];

function linear(name: string, outputs: number, inputs: number): Shapes {
  return [[`${name}.weight`, [outputs, inputs]], [`${name}.bias`, [outputs]]];
}

function norm(name: string, size: number): Shapes {
  return [[`${name}.weight`, [size]], [`${name}.bias`, [size]]];
}

function vggShapes(width: number, size: number, classes: number): Shapes {
  const shapes: Shapes = [];
  let inputs = 3;
  for (const [stage, count] of VGG16_CONVOLUTIONS.entries()) {
    for (let c = 1; c <= count; c++) {
      const outputs = VGG16_CHANNELS[stage] * width;
      const name = `conv${stage + 1}_${c}`;
      shapes.push([`${name}.weight`, [outputs, inputs, 3, 3]], [`${name}.bias`, [outputs]]);
      inputs = outputs;
    }
  }
  const side = VGG16_CONVOLUTIONS.reduce((length) => Math.floor(length / 2), size);
  const hidden = VGG16_HIDDEN_PER_WIDTH * width;
  return [
    ...shapes,
    ...linear("fc6", hidden, side * side * inputs),
    ...linear("fc7", hidden, hidden),
    ...linear("classifier", classes, hidden),
  ];
}

/** The tensors of a network: the shape of each by its name. */
export function tensorShapes(architecture: Architecture): Map<string, readonly number[]> {
  const { network, width, size, classes } = architecture;
  if (network === "vgg") return new Map(vggShapes(width, size, classes));
  const names = [...backboneNames(width), ...(network === "cnn" ? classifierNames(width, classes) : [])];
  const shapes: Shapes = names.map(({ dag, shape }) => [dag, shape]);
  if (network === "rnn") {
    const { embedding, hidden, layers, bidirectional } = architecture;
    const suffixes = bidirectional ? ["", "_reverse"] : [""];
    shapes.push(...linear("rnn.embed", embedding, 32 * width));
    for (let layer = 0; layer < layers; layer++) {
      for (const suffix of suffixes) {
        const inputs = layer === 0 ? embedding : hidden * suffixes.length;
        const name = (kind: string) => `rnn.gru.${kind}_l${layer}${suffix}`;
        shapes.push([name("weight_ih"), [3 * hidden, inputs]], [name("weight_hh"), [3 * hidden, hidden]]);
        shapes.push([name("bias_ih"), [3 * hidden]], [name("bias_hh"), [3 * hidden]]);
      }
    }
    shapes.push(...linear("rnn.classifier", classes, hidden * suffixes.length));
  }
  if (network === "transformer") {
    const { embedding, depth } = architecture;
    shapes.push(...linear("transformer.embed", embedding, 32 * width));
    for (let i = 0; i < depth; i++) {
      const block = `transformer.blocks.${i}`;
      shapes.push(...norm(`${block}.norm1`, embedding), ...norm(`${block}.norm2`, embedding));
      shapes.push(...linear(`${block}.attn.qkv`, 3 * embedding, embedding));
      shapes.push(...linear(`${block}.attn.proj`, embedding, embedding));
      shapes.push(...linear(`${block}.mlp.fc1`, 4 * embedding, embedding));
      shapes.push(...linear(`${block}.mlp.fc2`, embedding, 4 * embedding));
    }
    shapes.push(
      ...norm("transformer.norm", embedding),
      ...linear("transformer.classifier", classes, embedding),
    );
  }
  return new Map(shapes);
}

const SHOWN_PROBLEMS = 12;

/**
 * Refuses weights that are not the network's.
 *
 * @throws {Error} listing the missing, unused and misshapen tensors
 */
export function requireItsTensors({ architecture, weights }: TrainedNetwork): void {
  const shapes = tensorShapes(architecture);
  const problems: string[] = [];
  for (const [name, wanted] of shapes) {
    const given = weights.get(name)?.shape;
    if (given === undefined) problems.push(`${name} is missing`);
    else if (given.join() !== wanted.join()) {
      problems.push(`${name} is [${given.join(", ")}] instead of [${wanted.join(", ")}]`);
    }
  }
  for (const name of weights.keys()) if (!shapes.has(name)) problems.push(`${name} is unused`);
  if (problems.length === 0) return;
  const more = problems.length > SHOWN_PROBLEMS ? `; and ${problems.length - SHOWN_PROBLEMS} more` : "";
  throw new Error(
    `Cannot export the ${architecture.network}: ${problems.slice(0, SHOWN_PROBLEMS).join("; ")}${more}`,
  );
}
