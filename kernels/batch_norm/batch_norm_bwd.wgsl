// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M);
// g and xhat as in batch_norm_bwd_sums.wgsl. With running statistics (FROZEN) dx = gamma inverse g.
//
// Last dispatch of the backward pass. Every invocation adds the chunks' sums of its channels in the same order and
// makes a block of rows; those of block 0 also write dgamma and dbeta. Grid:
// block * C / WIDE + c / WIDE, in elements; WIDE as in batch_norm_fwd.wgsl.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES = 8u;
const WIDE = 1u; // C is a multiple of LANES * WIDE elements, or WIDE is 1
const MASK = true; // a ReLU without a residual: g is computed again
const FROZEN = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  chunks: u32, // P
  blocks: u32,
  block_rows: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
//#texture
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [M, C]; g where there was a residual
//#texture
@group(0) @binding(2) var<storage, read> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
//#texture
@group(0) @binding(3) var<storage, read> partial_sums: array<Element>; // [P, 2, C] sums of g and of g xhat
@group(0) @binding(4) var<storage, read_write> dx: array<Element>; // [M, C]
@group(0) @binding(5) var<storage, read_write> dgamma: array<Element>; // [C]
@group(0) @binding(6) var<storage, read_write> dbeta: array<Element>; // [C]
@group(0) @binding(7) var<uniform> u: Uniforms;

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
    var beta = array<Element, WIDE>();
    var shift = array<Element, WIDE>();
    var slope = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES;
      var sum = Element(0.0);
      var product = Element(0.0);
      for (var p = 0u; p < u.chunks; p++) {
        sum += partial_sums[2u * p * u.channels + channel];
        product += partial_sums[(2u * p + 1u) * u.channels + channel];
      }
      if (block == 0u) {
        dbeta[channel] = sum;
        dgamma[channel] = product;
      }
      mean[k] = saved[channel];
      scale[k] = saved[2u * u.channels + channel];
      beta[k] = saved[3u * u.channels + channel];
      if (!FROZEN) {
        shift[k] = sum / f32(u.rows);
        slope[k] = saved[u.channels + channel] * product / f32(u.rows);
      }
    }
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES;
        let centred = x[at] - mean[k];
        var g = dy[at];
        if (MASK) {
          g = vec4_to_element(relu_gradient4(element_to_vec4(g), element_to_vec4(fma(centred, scale[k], beta[k]))));
        }
        dx[at] = scale[k] * ((g - shift[k]) - centred * slope[k]);
      }
    }
  }
}
