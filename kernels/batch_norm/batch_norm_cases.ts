/**
 * The cases of batch normalisation, for tests and benches.
 *
 * @module
 */
import { rowsOf } from "../runtime/shapes.ts";

/** A named shape, settings, and what x is drawn from. */
export interface BatchNormCase {
  readonly name: string;
  /** [.., C] */
  readonly shape: readonly number[];
  readonly relu: boolean;
  readonly residual: boolean;
  readonly epsilon: number;
  readonly momentum: number;
  /** x is uniform in mean +- deviation */
  readonly mean: number;
  readonly deviation: number;
  /** added to the first row */
  readonly outlier: number;
}

function toCase(name: string, shape: number[], settings: Partial<BatchNormCase> = {}): BatchNormCase {
  return {
    name,
    shape,
    relu: true,
    residual: false,
    epsilon: 1e-5,
    momentum: 0.1,
    mean: 0.5,
    deviation: 1,
    outlier: 0,
    ...settings,
  };
}

/** Small shapes at the edges of what the kernels do. */
export const EDGE_CASES: readonly BatchNormCase[] = [
  toCase("one value", [1, 1], { relu: false }),
  toCase("one row", [1, 1, 1, 8], { relu: false, residual: true }),
  toCase("two rows", [2, 4], { relu: false, epsilon: 0.01 }),
  toCase("primes", [3, 7, 5, 13]),
  toCase("primes, residual", [3, 7, 5, 11], { residual: true, momentum: 0.3 }),
  toCase("[M, C]", [37, 20], { residual: true }),
  toCase("[B, T, C]", [3, 5, 8], { relu: false, residual: true, momentum: 1 }),
  toCase("one channel", [67, 1]),
  toCase("more channels than a group of lanes", [9, 60], { relu: false, momentum: 0 }),
  toCase("a large mean and a small variance", [2, 11, 9, 8], { mean: 3000, deviation: 0.5 }),
  toCase("a first row far from the others", [5000, 1], { outlier: 40 }),
  toCase("small values", [2, 9, 9, 4], { mean: 0, deviation: 1e-4, epsilon: 1e-10 }),
];

/**
 * The distinct batch norms of ResNet50 at width 16 on 48x48 pixels, a batch of 16. A stage's reduce has the shape of its 3x3:
 * the stride is the reduce's.
 */
export const RESNET50_CASES: readonly BatchNormCase[] = [
  toCase("resnet50 conv1", [16, 24, 24, 16]),
  toCase("resnet50 conv2 3x3", [16, 12, 12, 16]),
  toCase("resnet50 conv2 increase", [16, 12, 12, 64], { residual: true }),
  toCase("resnet50 conv2 projection", [16, 12, 12, 64], { relu: false }),
  toCase("resnet50 conv3 3x3", [16, 6, 6, 32]),
  toCase("resnet50 conv3 increase", [16, 6, 6, 128], { residual: true }),
  toCase("resnet50 conv3 projection", [16, 6, 6, 128], { relu: false }),
  toCase("resnet50 conv4 3x3", [16, 3, 3, 64]),
  toCase("resnet50 conv4 increase", [16, 3, 3, 256], { residual: true }),
  toCase("resnet50 conv4 projection", [16, 3, 3, 256], { relu: false }),
  toCase("resnet50 conv5 3x3", [16, 2, 2, 128]),
  toCase("resnet50 conv5 increase", [16, 2, 2, 512], { residual: true }),
  toCase("resnet50 conv5 projection", [16, 2, 2, 512], { relu: false }),
];

/**
 * The one of `RESNET50_CASES` with this name.
 *
 * @throws {RangeError} if there is none
 */
export function resnet50Case(name: string): BatchNormCase {
  const found = RESNET50_CASES.find((test) => test.name === `resnet50 ${name}`);
  if (found === undefined) throw new RangeError(`Cannot find batch norm ${name}; expected one of ResNet50's`);
  return found;
}

/**
 * Relative error: float32's, that of sums over M rows in any order, and that of the mean, which is rounded to float32
 * and so is off by up to 2^-24 of itself where the deviation is what counts.
 */
export function toleranceOf({ shape, mean, deviation }: BatchNormCase): number {
  return 2e-5 + 2e-7 * Math.sqrt(rowsOf(shape)) + 2 ** -22 * Math.abs(mean) / deviation;
}
