// y = relu(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual), with the batch's mean and variance.
//
// Second of two dispatches in training. Every invocation adds the partial sums of its four channels in the same
// order and normalises a block of rows; those of block 0 also write what backward needs (mean and inverse deviation)
// and update the running statistics (with the unbiased variance, PyTorch's rule). Grid: x = block * C / 4 + c / 4.
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / 4
  chunks: u32, // P
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
  momentum: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(1) var<storage, read> residual: array<vec4<f32>>; // [M, C / 4]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>; // [C / 4]
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>; // [C / 4]
@group(0) @binding(4) var<storage, read> partial_sums: array<vec4<f32>>; // [P, 2, C / 4]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(6) var<storage, read_write> saved: array<vec4<f32>>; // [2, C / 4] mean, inverse deviation
@group(0) @binding(7) var<storage, read_write> running_mean: array<vec4<f32>>; // [C / 4]
@group(0) @binding(8) var<storage, read_write> running_variance: array<vec4<f32>>; // [C / 4]
@group(0) @binding(9) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x / u.channels;
  let c = id.x - block * u.channels;
  if (block < u.blocks) {
    var sum = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    for (var p = 0u; p < u.chunks; p++) {
      sum += partial_sums[2u * p * u.channels + c];
      squares += partial_sums[(2u * p + 1u) * u.channels + c];
    }
    let count = f32(u.rows);
    let offset = sum / count; // of the mean from the first row
    let mean = x[c] + offset;
    let variance = max(squares / count - offset * offset, vec4<f32>(0.0));
    let inverse = inverseSqrt(variance + u.epsilon);
    if (block == 0u) {
      saved[c] = mean;
      saved[u.channels + c] = inverse;
      running_mean[c] = mix(running_mean[c], mean, vec4<f32>(u.momentum));
      let unbiased = variance * (count / max(count - 1.0, 1.0));
      running_variance[c] = mix(running_variance[c], unbiased, vec4<f32>(u.momentum));
    }
    let scale = gamma[c] * inverse;
    let shift = beta[c] - mean * scale;
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      let at = m * u.channels + c;
      var value = fma(x[at], scale, shift);
      if (RESIDUAL) {
        value += residual[at];
      }
      if (RELU) {
        value = max(value, vec4<f32>(0.0));
      }
      y[at] = value;
    }
  }
}
