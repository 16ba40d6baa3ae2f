/**
 * Stochastic gradient descent as plain loops in float64: what the kernels are held against.
 *
 * @module
 */

/** One tensor. */
export interface SgdTensorRef {
  readonly weight: Float64Array;
  readonly velocity: Float64Array;
  readonly rateFactor: number;
  readonly weightDecay: number;
}

/** The Euclidean norm of all gradients together. */
export function gradientNormRef(gradients: readonly ArrayLike<number>[]): number {
  let sum = 0;
  for (const gradient of gradients) for (let i = 0; i < gradient.length; i++) sum += gradient[i] ** 2;
  return Math.sqrt(sum);
}

/** Updates weights and velocities in place (PyTorch's SGD after its clip_grad_norm_). */
export function sgdUpdateRef(
  tensors: readonly SgdTensorRef[],
  gradients: readonly ArrayLike<number>[],
  { rate, momentum, clipNorm }: { rate: number; momentum: number; clipNorm?: number },
): void {
  const factor = clipNorm === undefined ? 1 : Math.min(1, clipNorm / (gradientNormRef(gradients) + 1e-6));
  tensors.forEach(({ weight, velocity, rateFactor, weightDecay }, t) => {
    for (let i = 0; i < weight.length; i++) {
      velocity[i] = momentum * velocity[i] + factor * gradients[t][i] + weightDecay * weight[i];
      weight[i] -= rate * rateFactor * velocity[i];
    }
  });
}
