// dx[n, h, w, c] = sum over r, s, k of
//   dy[n, (h + pad - r dilation) / stride, (w + pad - s dilation) / stride, k] f[r, s, c, k]
// over the taps at which both divisions are exact. dy is 0 beside the output, and not left out: an infinite filter makes NaN.
//
// For GPUs. The pixels of dx fall into stride_y * stride_x phases (z of the grid) in which the same taps count. In a
// phase it is conv2d_fwd_tiled.wgsl's GEMM on the gradient: a workgroup computes BLOCK_M pixels times BLOCK_N vec4s of
// input channels, BLOCK_D vec4s of output channels of a tap a round through workgroup memory; while it computes one, the
// next one's values are on their way to registers. The filter's vec4s lie along the sum; registers turn them.
// Few tiles get company: the rounds are divided into parts, which sum_parts.wgsl adds in order.
// Grid: x and y = pixel tiles of a phase times channel tiles, channels first; z = (part, phase).
//
// Measured on an NVIDIA H200, 61.4 TFLOP/s measured at most, in TFLOP/s: 3x3 on [64, 14, 14, 128] to 128 28, on [64, 28, 28,
// 64] to 64 27; 1x1 on [64, 7, 7, 1024] to 256 24, with stride 2 on [64, 14, 14, 512] to 1024 23.
// Dead end: gaps behind the blocks' rows against stores to one bank, 0.94 to 1.01 times as fast.
//#include "first_tap.wgsl"
//#include "paired.wgsl"
const TILE_M = 8u;
const TILE_N = 2u;
const BLOCK_M = 64u;
const BLOCK_N = 16u;
const BLOCK_D = 2u;
const ROWS = BLOCK_M / TILE_M; // of invocations
const COLUMNS = BLOCK_N / TILE_N;
const THREADS = ROWS * COLUMNS;
const DY_VALUES = BLOCK_M * BLOCK_D; // vec4s a round
const F_VALUES = 4u * BLOCK_D * BLOCK_N;
const DY_LOADS = (DY_VALUES + THREADS - 1u) / THREADS; // an invocation and round
const F_LOADS = (F_VALUES + THREADS - 1u) / THREADS;

struct Uniforms {
  images: u32, // N
  height: u32, // H, of dx
  width: u32, // W
  channels: u32, // C / 4, rounded up
  filter_channels: u32, // C
  out_height: u32, // Ho, of dy
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
  tap_step_y: u32, // from one tap of a phase to its next
  tap_step_x: u32,
  phases_x: u32, // of a row
  phases: u32,
  column_tiles: u32,
  parts: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>; // [parts, N, H, W, C / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

var<workgroup> dy_block: array<array<array<vec4<f32>, ROWS>, TILE_M>, BLOCK_D>; // vec4s of output channels
var<workgroup> f_block: array<array<array<vec4<f32>, COLUMNS>, 4u * TILE_N>, BLOCK_D>; // vec4s of output channels

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
  let part = group.z / u.phases;
  let phase = group.z - part * u.phases;
  let phase_y = phase / u.phases_x;
  let phase_x = phase - phase_y * u.phases_x;
  let rows = (u.height + u.stride_y - 1u - phase_y) / u.stride_y; // of the phase
  let columns = (u.width + u.stride_x - 1u - phase_x) / u.stride_x;
  let pixels = u.images * rows * columns;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var next_dy: array<vec4<f32>, DY_LOADS>; // of the coming round
  var next_f: array<vec4<f32>, F_LOADS>;
  var image: array<u32, DY_LOADS>; // of the pixels that this invocation loads, and their place in the phase
  var y: array<u32, DY_LOADS>;
  var x: array<u32, DY_LOADS>;
  var tap_at: array<u32, DY_LOADS>; // of a tap: in dy
  var length: array<u32, DY_LOADS>; // vec4s from there on: all channels, or none where the tap falls beside dy
  //#unroll
  for (var l = 0u; l < DY_LOADS; l++) {
    let pixel = min(block_pixel + min((l * THREADS + local) / BLOCK_D, BLOCK_M - 1u), pixels - 1u);
    let row = pixel / columns;
    image[l] = row / rows;
    y[l] = row - image[l] * rows;
    x[l] = pixel - row * columns;
  }

  let first_r = first_tap(phase_y + u.pad_y, u.stride_y, u.dilation_y, u.filter_height);
  let first_s = first_tap(phase_x + u.pad_x, u.stride_x, u.dilation_x, u.filter_width);
  let taps_y = (u.filter_height - first_r + u.tap_step_y - 1u) / u.tap_step_y; // of the phase
  let taps_x = (u.filter_width - first_s + u.tap_step_x - 1u) / u.tap_step_x;
  let tap_rounds = (u.out_channels + BLOCK_D - 1u) / BLOCK_D;
  let rounds = taps_y * taps_x * tap_rounds;
  let part_rounds = (rounds + u.parts - 1u) / u.parts;
  let first_round = part * part_rounds;
  let last_round = min(first_round + part_rounds, rounds);
  let tap = first_round / tap_rounds; // of the phase
  let tap_y = tap / max(taps_x, 1u);
  var r = first_r + tap_y * u.tap_step_y;
  var s = first_s + (tap - tap_y * taps_x) * u.tap_step_x;
  var k = first_round % tap_rounds * BLOCK_D; // vec4
  // Round i loads for the next one, which is why there is one more.
  for (var round = first_round; round <= last_round; round++) {
    if (round > first_round) {
      //#unroll
      for (var l = 0u; l < DY_LOADS; l++) {
        let i = l * THREADS + local;
        if (DY_LOADS * THREADS == DY_VALUES || i < DY_VALUES) {
          dy_block[i % BLOCK_D][i / BLOCK_D / ROWS][i / BLOCK_D % ROWS] = next_dy[l];
        }
      }
      //#unroll
      for (var l = 0u; l < F_LOADS; l++) {
        let i = l * THREADS + local;
        let column = i / BLOCK_D;
        if (F_LOADS * THREADS == F_VALUES || i < F_VALUES) {
          f_block[i % BLOCK_D][column / (4u * COLUMNS) * 4u + column % 4u][column / 4u % COLUMNS] = next_f[l];
        }
      }
      workgroupBarrier();
    }
    if (round < last_round) {
      if (k == 0u || round == first_round) {
        let down = (i32(phase_y + u.pad_y) - i32(r * u.dilation_y)) / i32(u.stride_y);
        let right = (i32(phase_x + u.pad_x) - i32(s * u.dilation_x)) / i32(u.stride_x);
        //#unroll
        for (var l = 0u; l < DY_LOADS; l++) {
          let h = i32(y[l]) + down;
          let w = i32(x[l]) + right;
          let inside = h >= 0 && h < i32(u.out_height) && w >= 0 && w < i32(u.out_width);
          let channel = (l * THREADS + local) % BLOCK_D;
          tap_at[l] = ((image[l] * u.out_height + u32(h)) * u.out_width + u32(w)) * u.out_channels + channel;
          length[l] = select(0u, u.out_channels, inside);
        }
      }
      //#unroll
      for (var l = 0u; l < DY_LOADS; l++) {
        let inside = k + (l * THREADS + local) % BLOCK_D < length[l];
        next_dy[l] = select(vec4<f32>(0.0), dy[tap_at[l] + k], inside);
      }
      let first_row = (r * u.filter_width + s) * u.filter_channels;
      //#unroll
      for (var l = 0u; l < F_LOADS; l++) {
        let i = l * THREADS + local;
        let place = k + i % BLOCK_D;
        let row = first_row + min(4u * block_column + i / BLOCK_D, u.filter_channels - 1u);
        next_f[l] = select(vec4<f32>(0.0), filter_values[row * u.out_channels + place], place < u.out_channels);
      }
      k += BLOCK_D;
      if (k >= u.out_channels) {
        k = 0u;
        s += u.tap_step_x;
        if (s >= u.filter_width) {
          s = first_s;
          r += u.tap_step_y;
        }
      }
    }
    if (round > first_round) {
      //#unroll
      for (var d = 0u; d < BLOCK_D; d++) {
        var f: array<vec4<f32>, 4u * TILE_N>; // [output channel, TILE_N], vec4s of input channels
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          //#unroll
          for (var c = 0u; c < 4u; c++) {
            let v = f_block[d][4u * j + c][my_column];
            f[j][c] = v.x;
            f[TILE_N + j][c] = v.y;
            f[2u * TILE_N + j][c] = v.z;
            f[3u * TILE_N + j][c] = v.w;
          }
        }
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let v = dy_block[d][i][my_row];
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
  for (var i = 0u; i < TILE_M; i++) {
    let pixel = block_pixel + i * ROWS + my_row;
    let row = pixel / columns;
    let image_row = (part * u.images + row / rows) * u.height + (row % rows) * u.stride_y + phase_y;
    let at = (image_row * u.width + (pixel - row * columns) * u.stride_x + phase_x) * u.channels;
    //#unroll
    for (var j = 0u; j < TILE_N; j++) {
      let column = block_column + j * COLUMNS + my_column;
      if (pixel < pixels && column < u.channels) {
        dx[at + column] = acc[i * TILE_N + j];
      }
    }
  }
}
