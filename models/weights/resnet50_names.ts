/**
 * ResNet50's parameters in the three naming schemes of files in circulation: dag (the VGGFace2 authors', and ours),
 * torchvision's (also the VGGFace2 pickle's), and Keras's.
 *
 * @module
 */

/** The naming schemes. */
export type Naming = "dag" | "torchvision" | "keras";

/** One parameter: its name in each scheme, and its shape in PyTorch's layout [K, C, R, S]. */
export interface ParameterNames extends Readonly<Record<Naming, string>> {
  readonly shape: readonly number[];
}

const BLOCKS = [3, 4, 6, 3];
const CONVOLUTIONS = [["1x1_reduce", "1"], ["3x3", "2"], ["1x1_increase", "3"]] as const;

/** A batch norm's parameters, in PyTorch's and Keras's names. */
const NORM_LEAVES = [
  ["weight", "gamma"],
  ["bias", "beta"],
  ["running_mean", "moving_mean"],
  ["running_var", "moving_variance"],
] as const;

/** All parameters but the classifier's, in the graph's order; `width` is the channels after the stem. */
export function backboneNames(width: number): ParameterNames[] {
  const names = convolutionNames(
    { dag: "conv1_7x7_s2", torchvision: ["conv1", "bn1"], keras: "conv1/7x7_s2" },
    [width, 3, 7, 7],
  );
  let inputs = width;
  for (const [i, count] of BLOCKS.entries()) {
    const inner = width * 2 ** i;
    for (let b = 0; b < count; b++) {
      const dag = `conv${i + 2}_${b + 1}`;
      const vision = `layer${i + 1}.${b}`;
      const shapes = [[inner, inputs, 1, 1], [inner, inner, 3, 3], [4 * inner, inner, 1, 1]];
      for (const [c, [suffix, number]] of CONVOLUTIONS.entries()) {
        const torchvision: [string, string] = [`${vision}.conv${number}`, `${vision}.bn${number}`];
        const name = `${dag}_${suffix}`;
        names.push(...convolutionNames({ dag: name, torchvision, keras: name }, shapes[c]));
      }
      if (b === 0) {
        const name = `${dag}_1x1_proj`;
        const torchvision: [string, string] = [`${vision}.downsample.0`, `${vision}.downsample.1`];
        names.push(...convolutionNames({ dag: name, torchvision, keras: name }, [4 * inner, inputs, 1, 1]));
      }
      inputs = 4 * inner;
    }
  }
  return names;
}

/** A convolution and its batch norm. */
function convolutionNames(
  { dag, torchvision: [conv, norm], keras }: {
    dag: string;
    torchvision: readonly [string, string];
    keras: string;
  },
  shape: readonly number[],
): ParameterNames[] {
  const kernel = { dag: `${dag}.weight`, torchvision: `${conv}.weight`, keras: `${keras}/kernel`, shape };
  return [
    kernel,
    ...NORM_LEAVES.map(([torch, kerasLeaf]) => ({
      dag: `${dag}_bn.${torch}`,
      torchvision: `${norm}.${torch}`,
      keras: `${keras}/bn/${kerasLeaf}`,
      shape: [shape[0]],
    })),
  ];
}

/** The classifier's parameters, as a linear layer has them. */
export function classifierNames(width: number, classes: number): ParameterNames[] {
  return [
    {
      dag: "classifier.weight",
      torchvision: "fc.weight",
      keras: "classifier/kernel",
      shape: [classes, 32 * width],
    },
    { dag: "classifier.bias", torchvision: "fc.bias", keras: "classifier/bias", shape: [classes] },
  ];
}
