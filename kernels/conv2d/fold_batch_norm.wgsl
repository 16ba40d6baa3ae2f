// g[t, c, k] = f[t, c, k] scale[k], bias[k] = beta[k] - mean[k] scale[k], scale[k] = gamma[k] / sqrt(variance[k] + epsilon):
// a convolution with g and bias is the convolution with f followed by inference batch norm.
//
// One invocation: one output channel of a block of rows; the first block writes the bias. Grid: blocks * K, folded over x and y.
struct Uniforms {
  rows: u32, // R S C
  out_channels: u32, // K
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> f: array<f32>; // [R S C, K]
@group(0) @binding(1) var<storage, read> gamma: array<f32>; // [K]
@group(0) @binding(2) var<storage, read> beta: array<f32>; // [K]
@group(0) @binding(3) var<storage, read> mean: array<f32>; // [K]
@group(0) @binding(4) var<storage, read> variance: array<f32>; // [K]
@group(0) @binding(5) var<storage, read_write> g: array<f32>; // [R S C, K]
@group(0) @binding(6) var<storage, read_write> bias: array<f32>; // [K]
@group(0) @binding(7) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let block = index / u.out_channels;
  let k = index - block * u.out_channels;
  if (block < u.blocks) {
    let scale = gamma[k] * inverseSqrt(variance[k] + u.epsilon);
    if (block == 0u) {
      bias[k] = beta[k] - mean[k] * scale;
    }
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var row = block * u.block_rows; row < last; row++) {
      g[row * u.out_channels + k] = f[row * u.out_channels + k] * scale;
    }
  }
}
