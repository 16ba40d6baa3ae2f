// y[n, ho, wo, k] = activation(bias[k] + residual[n, ho, wo, k] +
//   sum over r, s, c of x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] f[r, s, c, k])
//
// Implicit GEMM for GPUs: M = N Ho Wo rows, K columns, R S C long sums, as in matmul_workgroup.wgsl. A workgroup computes
// BLOCK_M pixels times BLOCK_N vec4s of channels, BLOCK_D vec4s of (tap, input channel) of both operands a round; one
// invocation TILE_M pixels (BLOCK_M / TILE_M apart) by TILE_N vec4s (BLOCK_N / TILE_N apart).
//
// The sum goes run by run: where a filter's row has no gaps (dilation 1) its taps and channels lie in one piece in x and
// make one run, else a run is one tap. A round within a run moves all addresses by the same amount: nothing is divided.
// Few tiles get company: z of the grid divides the rounds into parts, which sum_parts.wgsl adds in order.
// Grid: pixel tiles times channel tiles, channels first, folded over x and y; z = parts.
//
// Measured on an NVIDIA H200, 61.4 TFLOP/s measured at most, in TFLOP/s: 3x3 on [96, 56, 56, 64] to 64 32.9, on [64, 14, 14,
// 128] to 128 30.6; 1x1 on [96, 56, 56, 256] to 64 27.9, on [96, 56, 56, 64] to 256 27.1, to 64 22.5; conv1 19.1. Tiles of
// 8 x 4 in blocks of 64 x 64 do best nearly everywhere, 8 x 8 0.8 as well; 8 deep instead of 16 0.8.
//#include "activation.wgsl"
//#include "paired.wgsl"
const TILE_M = 8u;
const TILE_N = 2u;
const BLOCK_M = 64u;
const BLOCK_N = 16u;
const BLOCK_D = 2u;
const WHOLE = true; // 4 divides C
const BIAS = false;
const RESIDUAL = false;
const PRELU = false;
const ROWS = BLOCK_M / TILE_M; // of invocations
const COLUMNS = BLOCK_N / TILE_N;
const THREADS = ROWS * COLUMNS;
const X_VALUES = BLOCK_M * BLOCK_D; // vec4s a round
const F_VALUES = 4u * BLOCK_D * BLOCK_N;
const X_LOADS = (X_VALUES + THREADS - 1u) / THREADS; // an invocation and round
const F_LOADS = (F_VALUES + THREADS - 1u) / THREADS;
const OUTSIDE = 0x40000000; // a place in a row of x that it does not have

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
  parts: u32,
  slope: f32, // of leaky relu below 0
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [K / 4]; the filter where there is none
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>; // [N, Ho, Wo, K / 4]; else the filter
@group(0) @binding(4) var<storage, read> alpha: array<vec4<f32>>; // [K / 4] of prelu; the filter where there is none
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // [parts, N, Ho, Wo, K / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

var<workgroup> x_block: array<array<array<vec4<f32>, ROWS>, TILE_M>, BLOCK_D>; // vec4s of input channels
var<workgroup> f_block: array<array<array<vec4<f32>, COLUMNS>, TILE_N>, 4u * BLOCK_D>; // vec4s of output channels

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
  let my_row = paired_row(local, ROWS, COLUMNS);
  let my_column = paired_column(local, ROWS, COLUMNS);
  let row_length = u.width * u.channels; // of x
  let runs_x = select(u.filter_width, 1u, u.dilation_x == 1u); // of a row of the filter
  let run_length = select(u.channels, u.filter_width * u.channels, u.dilation_x == 1u); // vec4s
  let run_rounds = (run_length + BLOCK_D - 1u) / BLOCK_D;
  let rounds = u.filter_height * runs_x * run_rounds;
  let part_rounds = (rounds + u.parts - 1u) / u.parts;
  let first_round = group.z * part_rounds;
  let last_round = min(first_round + part_rounds, rounds);
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var next_x: array<vec4<f32>, X_LOADS>; // of the coming round
  var next_f: array<vec4<f32>, F_LOADS>;
  var image: array<u32, X_LOADS>; // of the pixels that this invocation loads: first row of the image
  var top: array<i32, X_LOADS>; // and their places in it
  var left: array<i32, X_LOADS>;
  var row_at: array<u32, X_LOADS>; // of a run: where the row of x begins, and the place in it
  var start: array<i32, X_LOADS>;
  //#unroll
  for (var l = 0u; l < X_LOADS; l++) {
    let pixel = min(block_pixel + min((l * THREADS + local) / BLOCK_D, BLOCK_M - 1u), u.pixels - 1u);
    let row = pixel / u.out_width;
    image[l] = row / u.out_height * u.height;
    top[l] = i32(row % u.out_height * u.stride_y) - i32(u.pad_y);
    left[l] = i32((pixel - row * u.out_width) * u.stride_x) - i32(u.pad_x);
  }

  let first_run = first_round / run_rounds;
  var r = first_run / runs_x; // the run
  var s = first_run % runs_x;
  var q = first_round % run_rounds * BLOCK_D; // vec4 in it
  // Round i loads for the next one, which is why there is one more.
  for (var round = first_round; round <= last_round; round++) {
    if (round > first_round) {
      //#unroll
      for (var l = 0u; l < X_LOADS; l++) {
        let i = l * THREADS + local;
        if (X_LOADS * THREADS == X_VALUES || i < X_VALUES) {
          x_block[i % BLOCK_D][i / BLOCK_D / ROWS][i / BLOCK_D % ROWS] = next_x[l];
        }
      }
      //#unroll
      for (var l = 0u; l < F_LOADS; l++) {
        let i = l * THREADS + local;
        if (F_LOADS * THREADS == F_VALUES || i < F_VALUES) {
          f_block[i / BLOCK_N][i % BLOCK_N / COLUMNS][i % COLUMNS] = next_f[l];
        }
      }
      workgroupBarrier();
    }
    if (round < last_round) {
      if (q == 0u || round == first_round) {
        //#unroll
        for (var l = 0u; l < X_LOADS; l++) {
          let h = top[l] + i32(r * u.dilation_y);
          let place = (left[l] + i32(s * u.dilation_x)) * i32(u.channels) + i32((l * THREADS + local) % BLOCK_D);
          row_at[l] = (image[l] + u32(h)) * row_length;
          start[l] = select(OUTSIDE, place, h >= 0 && h < i32(u.height));
        }
      }
      //#unroll
      for (var l = 0u; l < X_LOADS; l++) {
        let place = u32(start[l] + i32(q));
        let inside = place < row_length && q + (l * THREADS + local) % BLOCK_D < run_length;
        next_x[l] = select(vec4<f32>(0.0), x[row_at[l] + place], inside);
      }
      let first_tap = r * u.filter_width + s;
      //#unroll
      for (var l = 0u; l < F_LOADS; l++) {
        let i = l * THREADS + local;
        let depth = 4u * q + i / BLOCK_N;
        var inside = depth < 4u * run_length;
        var row = first_tap * u.filter_channels + depth;
        if (!WHOLE) {
          let tap = depth / (4u * u.channels);
          let channel = depth - tap * 4u * u.channels;
          inside = inside && channel < u.filter_channels;
          row = (first_tap + tap) * u.filter_channels + channel;
        }
        let column = min(block_column + i % BLOCK_N, u.out_channels - 1u);
        next_f[l] = select(vec4<f32>(0.0), filter_values[row * u.out_channels + column], inside);
      }
      q += BLOCK_D;
      if (q >= run_length) {
        q = 0u;
        s += 1u;
        if (s == runs_x) {
          s = 0u;
          r += 1u;
        }
      }
    }
    if (round > first_round) {
      //#unroll
      for (var d = 0u; d < BLOCK_D; d++) {
        var f: array<vec4<f32>, 4u * TILE_N>;
        //#unroll
        for (var e = 0u; e < 4u * TILE_N; e++) {
          f[e] = f_block[4u * d + e / TILE_N][e % TILE_N][my_column];
        }
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let v = x_block[d][i][my_row];
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
  }
  //#unroll
  for (var j = 0u; j < TILE_N; j++) {
    let column = block_column + j * COLUMNS + my_column;
    let slope = select(vec4<f32>(u.slope), alpha[column], PRELU);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let pixel = block_pixel + i * ROWS + my_row;
      if (pixel < u.pixels && column < u.out_channels) {
        let at = (group.z * u.pixels + pixel) * u.out_channels + column; // without a residual where there are parts
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
