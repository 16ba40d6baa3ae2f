// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M), dresidual = g;
// g and xhat as in batch_norm_bwd_sums.wgsl.
//
// Second of two dispatches. Every invocation adds the partial sums of its four channels in the same order and makes a
// block of rows; those of block 0 also write dgamma and dbeta. Grid: x = block * C / 4 + c / 4.
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / 4
  chunks: u32, // P
  blocks: u32,
  block_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(3) var<storage, read> saved: array<vec4<f32>>; // [2, C / 4] mean, inverse deviation
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>; // [C / 4]
@group(0) @binding(5) var<storage, read> partial_sums: array<vec4<f32>>; // [P, 2, C / 4]
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(7) var<storage, read_write> dgamma: array<vec4<f32>>; // [C / 4]
@group(0) @binding(8) var<storage, read_write> dbeta: array<vec4<f32>>; // [C / 4]
@group(0) @binding(9) var<storage, read_write> dresidual: array<vec4<f32>>; // [M, C / 4]; [1] where there is none
@group(0) @binding(10) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x / u.channels;
  let c = id.x - block * u.channels;
  if (block < u.blocks) {
    var sum = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    for (var p = 0u; p < u.chunks; p++) {
      sum += partial_sums[2u * p * u.channels + c];
      products += partial_sums[(2u * p + 1u) * u.channels + c];
    }
    if (block == 0u) {
      dbeta[c] = sum;
      dgamma[c] = products;
    }
    let mean = saved[c];
    let inverse = saved[u.channels + c];
    let scale = gamma[c] * inverse;
    let meanSum = sum / f32(u.rows);
    let meanProducts = products / f32(u.rows);
    let last = min(u.rows, (block + 1u) * u.block_rows);
    for (var m = block * u.block_rows; m < last; m++) {
      let at = m * u.channels + c;
      var g = dy[at];
      if (RELU) {
        g = select(vec4<f32>(0.0), g, y[at] > vec4<f32>(0.0));
      }
      if (RESIDUAL) {
        dresidual[at] = g;
      }
      dx[at] = scale * (g - meanSum - (x[at] - mean) * inverse * meanProducts);
    }
    if (!RESIDUAL && id.x == 0u) {
      dresidual[0] = vec4<f32>(0.0);
    }
  }
}
