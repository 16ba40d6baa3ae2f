// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M);
// g and xhat as in batch_norm_bwd_sums.wgsl. With running statistics (FROZEN) dx = gamma inverse g.
//
// Last dispatch of the backward pass. Every invocation adds the chunks' sums of its channels in the same order and
// makes a block of rows; those of block 0 also write dgamma and dbeta. Grid: block * C + c, in elements.
//#include "elements.wgsl"
const LANES = 8u;
const MASK = true; // a ReLU without a residual: g is computed again
const FROZEN = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  chunks: u32, // P
  blocks: u32,
  block_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [M, C]; g where there was a residual
@group(0) @binding(2) var<storage, read> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
@group(0) @binding(3) var<storage, read> partial_sums: array<Element>; // [P, 2, C] sums of g and of g xhat
@group(0) @binding(4) var<storage, read_write> dx: array<Element>; // [M, C]
@group(0) @binding(5) var<storage, read_write> dgamma: array<Element>; // [C]
@group(0) @binding(6) var<storage, read_write> dbeta: array<Element>; // [C]
@group(0) @binding(7) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let index = id.y * grid.x * LANES + id.x;
  let block = index / u.channels;
  let c = index - block * u.channels;
  if (block < u.blocks) {
    var sum = Element(0.0);
    var product = Element(0.0);
    for (var p = 0u; p < u.chunks; p++) {
      sum += partial_sums[2u * p * u.channels + c];
      product += partial_sums[(2u * p + 1u) * u.channels + c];
    }
    if (block == 0u) {
      dbeta[c] = sum;
      dgamma[c] = product;
    }
    let mean = saved[c];
    let scale = saved[2u * u.channels + c];
    let beta = saved[3u * u.channels + c];
    var shift = Element(0.0);
    var slope = Element(0.0);
    if (!FROZEN) {
      shift = sum / f32(u.rows);
      slope = saved[u.channels + c] * product / f32(u.rows);
    }
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      let at = m * u.channels + c;
      let centred = x[at] - mean;
      var g = dy[at];
      if (MASK) {
        g = select(g, Element(0.0), fma(centred, scale, beta) <= Element(0.0));
      }
      dx[at] = scale * ((g - shift) - centred * slope);
    }
  }
}
