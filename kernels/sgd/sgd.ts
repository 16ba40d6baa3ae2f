/**
 * Stochastic gradient descent with momentum and weight decay, in place.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, run } from "../runtime/program.ts";
import source from "./sgd.wgsl" with { type: "text" };

const GROUP = 64;

/** The settings of one update. */
export interface SgdSettings {
  readonly rate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

/**
 * v <- momentum v + gradient + weightDecay w; w <- w - rate v. One dispatch.
 *
 * @param weight updated in place; no other tensor may share its buffer
 * @param velocity updated in place, of the same size
 */
export function sgdUpdate(
  weight: TensorInfo,
  velocity: TensorInfo,
  gradient: TensorInfo,
  { rate, momentum, weightDecay }: SgdSettings,
): void {
  const count = weight.shape.reduce((product, size) => product * size, 1);
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  run({
    shader: { file: "sgd/sgd.wgsl", source },
    inputs: [gradient],
    outputs: [{ inPlace: weight }, { inPlace: velocity }],
    uniforms: {
      count,
      rate: { f32: rate },
      momentum: { f32: momentum },
      weight_decay: { f32: weightDecay },
      row: workgroups[0] * GROUP,
    },
    workgroups,
  });
}
