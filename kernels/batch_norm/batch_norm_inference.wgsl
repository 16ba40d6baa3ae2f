// y = relu(gamma (x - running mean) / sqrt(running variance + epsilon) + beta + residual)
//
// One dispatch. One invocation: four channels of a block of rows. Grid: x = block * C / 4 + c / 4.
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / 4
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(1) var<storage, read> residual: array<vec4<f32>>; // [M, C / 4]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>; // [C / 4]
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>; // [C / 4]
@group(0) @binding(4) var<storage, read> running_mean: array<vec4<f32>>; // [C / 4]
@group(0) @binding(5) var<storage, read> running_variance: array<vec4<f32>>; // [C / 4]
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(7) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x / u.channels;
  let c = id.x - block * u.channels;
  if (block < u.blocks) {
    let scale = gamma[c] * inverseSqrt(running_variance[c] + u.epsilon);
    let shift = beta[c] - running_mean[c] * scale;
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
