// y = relu(gamma (x - running mean) / sqrt(running variance + epsilon) + beta + residual)
//
// One dispatch. One invocation: one element of a block of rows. Grid: block * C + c, in elements.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES = 8u;
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
//#texture
@group(0) @binding(1) var<storage, read> residual: array<Element>; // [M, C]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<Element>; // [C]
@group(0) @binding(3) var<storage, read> beta: array<Element>; // [C]
@group(0) @binding(4) var<storage, read> running_mean: array<Element>; // [C]
@group(0) @binding(5) var<storage, read> running_variance: array<Element>; // [C]
@group(0) @binding(6) var<storage, read_write> y: array<Element>; // [M, C]
@group(0) @binding(7) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let index = id.y * grid.x * LANES + id.x;
  let block = index / u.channels;
  let c = index - block * u.channels;
  if (block < u.blocks) {
    let mean = running_mean[c];
    let scale = gamma[c] * inverseSqrt(running_variance[c] + u.epsilon);
    let shift = beta[c];
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      let at = m * u.channels + c;
      var value = fma(x[at] - mean, scale, shift);
      if (RESIDUAL) {
        value += residual[at];
      }
      if (RELU) {
        value = vec4_to_element(relu4(element_to_vec4(value)));
      }
      y[at] = value;
    }
  }
}
