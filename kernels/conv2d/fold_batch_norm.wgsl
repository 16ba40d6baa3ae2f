// g[t, c, k] = f[t, c, k] scale[k], bias[k] = beta[k] - mean[k] scale[k]
// with scale[k] = gamma[k] / sqrt(variance[k] + epsilon): a convolution with g and bias is the convolution with f
// followed by inference batch norm.
//
// One invocation: an element (four output channels where K is a multiple of 4, else one) of a block of rows; the first
// block writes the bias. Grid: blocks * elements of a row, folded over x and y.
//#include "elements.wgsl"

struct Uniforms {
  rows: u32, // R S C
  row_elements: u32, // K / 4, or K
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> f: array<Element>; // [R S C, K]
@group(0) @binding(1) var<storage, read> gamma: array<Element>; // [K]
@group(0) @binding(2) var<storage, read> beta: array<Element>; // [K]
@group(0) @binding(3) var<storage, read> mean: array<Element>; // [K]
@group(0) @binding(4) var<storage, read> variance: array<Element>; // [K]
@group(0) @binding(5) var<storage, read_write> g: array<Element>; // [R S C, K]
@group(0) @binding(6) var<storage, read_write> bias: array<Element>; // [K]
@group(0) @binding(7) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * 8u + local;
  let block = index / u.row_elements;
  let k = index - block * u.row_elements;
  if (block < u.blocks) {
    let scale = gamma[k] * inverseSqrt(variance[k] + u.epsilon);
    if (block == 0u) {
      bias[k] = beta[k] - mean[k] * scale;
    }
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var row = block * u.block_rows; row < last; row++) {
      g[row * u.row_elements + k] = f[row * u.row_elements + k] * scale;
    }
  }
}
