// y[n, ho, wo, k] = activation(bias[k] + residual[n, ho, wo, k] +
//   sum over r, s, c of x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] f[r, s, c, k])
//
// Implicit GEMM for GPUs: M = N Ho Wo rows, K columns, R S C long sums. A workgroup computes a tile of BLOCK_M pixels
// times BLOCK_N vec4s of channels: it brings BLOCK_D vec4s of (tap, input channel) of both operands into workgroup
// memory a round; one invocation multiplies TILE_M pixels (BLOCK_M / TILE_M apart) by TILE_N vec4s (BLOCK_N / TILE_N
// apart) in registers. Grid: pixel tiles times channel tiles, channels first, folded over x and y.
// Software adapters have no use for workgroup memory: conv2d_fwd.wgsl.
//#include "activation.wgsl"
const TILE_M = 8u;
const TILE_N = 2u;
const BLOCK_M = 64u;
const BLOCK_N = 16u;
const BLOCK_D = 2u;
const BIAS = false;
const RESIDUAL = false;
const PRELU = false;
const ROWS = BLOCK_M / TILE_M; // of invocations
const COLUMNS = BLOCK_N / TILE_N;
const THREADS = ROWS * COLUMNS;
const X_LOADS = (BLOCK_M * BLOCK_D + THREADS - 1u) / THREADS; // an invocation and round
const F_LOADS = (4u * BLOCK_D * BLOCK_N + THREADS - 1u) / THREADS;

struct Uniforms {
  pixels: u32, // M = N Ho Wo
  height: u32, // H
  width: u32, // W
  channels: u32, // C / 4, rounded up
  filter_channels: u32, // C
  out_height: u32, // Ho
  out_width: u32, // Wo
  out_channels: u32, // K / 4
  filter_height: u32, // R
  filter_width: u32, // S
  stride_y: u32,
  stride_x: u32,
  dilation_y: u32,
  dilation_x: u32,
  pad_y: u32,
  pad_x: u32,
  column_tiles: u32,
  slope: f32, // of leaky relu below 0
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [K / 4]; the filter where there is none
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>; // [N, Ho, Wo, K / 4]; else the filter
@group(0) @binding(4) var<storage, read> alpha: array<vec4<f32>>; // [K / 4] of prelu; the filter where there is none
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

var<workgroup> x_block: array<vec4<f32>, BLOCK_M * (BLOCK_D + 1u)>; // [BLOCK_M, BLOCK_D], vec4s of input channels
var<workgroup> f_block: array<vec4<f32>, 4u * BLOCK_D * BLOCK_N>; // [4 BLOCK_D, BLOCK_N], vec4s of output channels

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = group.y * groups.x + group.x;
  let tile = index / u.column_tiles;
  let block_column = (index - tile * u.column_tiles) * BLOCK_N;
  let block_pixel = tile * BLOCK_M;
  let my_row = local / COLUMNS;
  let my_column = local % COLUMNS;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var origin: array<u32, X_LOADS>; // of the pixels that this invocation loads: first row of the image
  var top: array<i32, X_LOADS>;
  var left: array<i32, X_LOADS>;
  //#unroll
  for (var l = 0u; l < X_LOADS; l++) {
    let pixel = min(block_pixel + min((l * THREADS + local) / BLOCK_D, BLOCK_M - 1u), u.pixels - 1u);
    let row = pixel / u.out_width;
    let image = row / u.out_height;
    origin[l] = image * u.height;
    top[l] = i32((row - image * u.out_height) * u.stride_y) - i32(u.pad_y);
    left[l] = i32((pixel - row * u.out_width) * u.stride_x) - i32(u.pad_x);
  }

  let depth = u.filter_height * u.filter_width * u.channels;
  for (var first = 0u; first < depth; first += BLOCK_D) {
    //#unroll
    for (var l = 0u; l < X_LOADS; l++) {
      let entry = l * THREADS + local;
      let place = first + entry % BLOCK_D;
      let tap = place / u.channels;
      let r = tap / u.filter_width;
      let h = top[l] + i32(r * u.dilation_y);
      let w = left[l] + i32((tap - r * u.filter_width) * u.dilation_x);
      let inside = place < depth && h >= 0 && h < i32(u.height) && w >= 0 && w < i32(u.width);
      let address = ((origin[l] + u32(h)) * u.width + u32(w)) * u.channels + place - tap * u.channels;
      let value = select(vec4<f32>(0.0), x[select(0u, address, inside)], inside);
      if (entry < BLOCK_M * BLOCK_D) {
        x_block[(entry / BLOCK_D) * (BLOCK_D + 1u) + entry % BLOCK_D] = value;
      }
    }
    //#unroll
    for (var l = 0u; l < F_LOADS; l++) {
      let entry = l * THREADS + local;
      let row = entry / BLOCK_N;
      let place = first + row / 4u;
      let tap = place / u.channels;
      let channel = 4u * (place - tap * u.channels) + row % 4u;
      let column = block_column + entry % BLOCK_N;
      let inside = place < depth && channel < u.filter_channels && column < u.out_channels;
      let address = (tap * u.filter_channels + channel) * u.out_channels + column;
      let value = select(vec4<f32>(0.0), filter_values[select(0u, address, inside)], inside);
      if (entry < 4u * BLOCK_D * BLOCK_N) {
        f_block[entry] = value;
      }
    }
    workgroupBarrier();
    //#unroll
    for (var d = 0u; d < BLOCK_D; d++) {
      var f: array<vec4<f32>, 4u * TILE_N>;
      //#unroll
      for (var e = 0u; e < 4u * TILE_N; e++) {
        f[e] = f_block[(4u * d + e / TILE_N) * BLOCK_N + (e % TILE_N) * COLUMNS + my_column];
      }
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let v = x_block[(i * ROWS + my_row) * (BLOCK_D + 1u) + d];
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          acc[i * TILE_N + j] = fma(vec4<f32>(v.x), f[j], acc[i * TILE_N + j]);
          acc[i * TILE_N + j] = fma(vec4<f32>(v.y), f[TILE_N + j], acc[i * TILE_N + j]);
          acc[i * TILE_N + j] = fma(vec4<f32>(v.z), f[2u * TILE_N + j], acc[i * TILE_N + j]);
          acc[i * TILE_N + j] = fma(vec4<f32>(v.w), f[3u * TILE_N + j], acc[i * TILE_N + j]);
        }
      }
    }
    workgroupBarrier();
  }
  //#unroll
  for (var j = 0u; j < TILE_N; j++) {
    let column = block_column + j * COLUMNS + my_column;
    let slope = select(vec4<f32>(u.slope), alpha[column], PRELU);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let pixel = block_pixel + i * ROWS + my_row;
      if (pixel < u.pixels && column < u.out_channels) {
        let at = pixel * u.out_channels + column;
        var value = acc[i * TILE_N + j];
        if (BIAS) {
          value += bias[column];
        }
        if (RESIDUAL) {
          value += residual[at];
        }
        y[at] = activate(value, slope);
      }
    }
  }
}
