/**
 * The cases of stochastic gradient descent, for tests and benches.
 *
 * @module
 */
import type { SgdParameter, SgdSettings } from "./sgd.ts";

/** Some tensors and how they are updated. */
export interface SgdCase {
  readonly name: string;
  readonly parameters: readonly SgdParameter[];
  readonly settings: SgdSettings;
  readonly rate: number;
}

/** Shapes, each with weight decay. */
function withDecay(weightDecay: number, ...shapes: number[][]): SgdParameter[] {
  return shapes.map((shape) => ({ shape, weightDecay }));
}

/** The trained tensors of ResNet50 with 7 classes, stem of `width` channels: 161 of them. */
export function resnet50Shapes(width: number): number[][] {
  const shapes: number[][] = [];
  const addConv = (size: number, inputs: number, outputs: number) =>
    shapes.push([size, size, inputs, outputs], [outputs], [outputs]); // filter, gamma, beta
  addConv(7, 3, width);
  let inputs = width;
  [3, 4, 6, 3].forEach((blocks, stage) => {
    const inner = width * 2 ** stage;
    for (let block = 0; block < blocks; block++) {
      addConv(1, inputs, inner);
      addConv(3, inner, inner);
      addConv(1, inner, 4 * inner);
      if (block === 0) addConv(1, inputs, 4 * inner);
      inputs = 4 * inner;
    }
  });
  shapes.push([inputs, 7], [7]);
  return shapes;
}

/** Small sets at the edges of what the kernels do. */
export const EDGE_CASES: readonly SgdCase[] = [
  {
    name: "one value",
    parameters: withDecay(0, [1]),
    settings: { momentum: 0 },
    rate: 0.1,
  },
  {
    name: "primes",
    parameters: withDecay(5e-4, [7, 11, 3], [13], [257], [2, 131]),
    settings: { momentum: 0.9 },
    rate: 0.05,
  },
  {
    name: "rates and decays of their own, clipped",
    parameters: [
      { shape: [3, 3, 5, 7], weightDecay: 0.01 },
      { shape: [7], weightDecay: 0 },
      { shape: [300], weightDecay: 0.1, rateFactor: 0.1 },
      { shape: [], weightDecay: 0, rateFactor: 0 },
    ],
    settings: { momentum: 0.8, clipNorm: 0.5 },
    rate: 0.1,
  },
  {
    name: "a norm below the limit",
    parameters: withDecay(0, [5], [9]),
    settings: { momentum: 0.9, clipNorm: 100 },
    rate: 0.1,
  },
];

/** All tensors of ResNet50. */
export const RESNET50_CASES: readonly SgdCase[] = [16, 64].map((width) => ({
  name: `resnet50, width ${width}`,
  parameters: withDecay(5e-4, ...resnet50Shapes(width)),
  settings: { momentum: 0.9 },
  rate: 0.01,
}));

/** Relative error of a few float32 operations a step. */
export const TOLERANCE = 1e-6;
