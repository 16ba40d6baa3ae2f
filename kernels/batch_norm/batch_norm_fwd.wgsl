// y = relu(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual), with the batch's mean and variance.
//
// Last dispatch in training. Every invocation merges the chunks' moments of its channels in the same order and
// normalises a block of rows; those of block 0 also write what backward needs and update the running statistics (with
// the unbiased variance, PyTorch's rule). Grid: block * C / WIDE + c / WIDE, in elements.
//
// An invocation has WIDE elements, LANES apart, so that a workgroup reads long pieces of a row: with 4 or 2
// instead of 1 the four dispatches of forward and backward take 0.65 to 0.8 of the time on lavapipe from 64 channels
// on. Dead end: several rows at a time are no faster.
//#include "elements.wgsl"
//#include "nan.wgsl"
//#include "batch_norm_moments.wgsl"
const LANES = 8u;
const WIDE = 1u; // C is a multiple of LANES * WIDE elements, or WIDE is 1
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  chunks: u32, // P
  chunk_rows: u32,
  blocks: u32,
  block_rows: u32,
  epsilon: f32,
  momentum: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
//#texture
@group(0) @binding(1) var<storage, read> residual: array<Element>; // [M, C]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<Element>; // [C]
@group(0) @binding(3) var<storage, read> beta: array<Element>; // [C]
//#texture
@group(0) @binding(4) var<storage, read> partial_sums: array<Element>; // [P, 2, C] mean - x[0], squares
@group(0) @binding(5) var<storage, read_write> y: array<Element>; // [M, C]
@group(0) @binding(6) var<storage, read_write> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
@group(0) @binding(7) var<storage, read_write> running_mean: array<Element>; // [C]
@group(0) @binding(8) var<storage, read_write> running_variance: array<Element>; // [C]
@group(0) @binding(9) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let index = id.y * grid.x * LANES + id.x;
  let columns = u.channels / WIDE;
  let block = index / columns;
  let column = index - block * columns;
  let c = column / LANES * LANES * WIDE + column % LANES;
  if (block < u.blocks) {
    var mean = array<Element, WIDE>();
    var scale = array<Element, WIDE>();
    var shift = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES;
      var all = Moments(0.0, Element(0.0), Element(0.0));
      for (var p = 0u; p < u.chunks; p++) {
        let count = f32(min(u.chunk_rows, u.rows - p * u.chunk_rows));
        let at = 2u * p * u.channels + channel;
        all = merge_moments(all, Moments(count, partial_sums[at], partial_sums[at + u.channels]));
      }
      let inverse = inverseSqrt(all.squares / all.count + u.epsilon);
      mean[k] = x[channel] + all.mean;
      scale[k] = gamma[channel] * inverse;
      shift[k] = beta[channel];
      if (block == 0u) {
        saved[channel] = mean[k];
        saved[u.channels + channel] = inverse;
        saved[2u * u.channels + channel] = scale[k];
        saved[3u * u.channels + channel] = shift[k];
        running_mean[channel] = mix(running_mean[channel], mean[k], Element(u.momentum));
        let unbiased = all.squares / max(all.count - 1.0, 1.0);
        running_variance[channel] = mix(running_variance[channel], unbiased, Element(u.momentum));
      }
    }
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES;
        var value = fma(x[at] - mean[k], scale[k], shift[k]);
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
}
