// df[r, s, c, k] = sum over n, ho, wo of
//   x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] dy[n, ho, wo, k]
// x is 0 beside the image, and not left out: an infinite dy makes NaN there.
//
// For GPUs: GEMM with rows R S C, columns K and N Ho Wo long sums. A workgroup computes BLOCK_C vec4s of (tap, input
// channel) times BLOCK_K vec4s of output channels over one chunk of the pixels, BLOCK_P pixels a round through
// workgroup memory; while it computes a round, the next one's values are on their way to registers. One invocation
// multiplies TILE_C vec4s (BLOCK_C / TILE_C apart) by TILE_K vec4s (BLOCK_K / TILE_K apart) in registers. A pixel's place
// is carried from round to round, not divided out; where x and dy have the same pixels (DENSE) it is one number. The
// chunks' sums are added in order by sum_parts.wgsl. Grid: x and y = row tiles times column tiles, columns first,
// z = chunks.
//
// Measured on an NVIDIA H200, 61.4 TFLOP/s measured at most, in TFLOP/s: 3x3 on [64, 14, 14, 128] to 128 28.1 with 1024
// workgroups, 24.9 with 512, 23.6 with 256; conv1 of the paper 14.5, 278 times stock's.
//#include "paired.wgsl"
const TILE_C = 2u;
const TILE_K = 2u;
const BLOCK_C = 16u;
const BLOCK_K = 16u;
const BLOCK_P = 8u;
const DENSE = false; // 1x1 taps, stride 1, no pad
const ROWS = BLOCK_C / TILE_C; // of invocations
const COLUMNS = BLOCK_K / TILE_K;
const THREADS = ROWS * COLUMNS;
const X_VALUES = BLOCK_P * BLOCK_C; // vec4s a round
const DY_VALUES = BLOCK_P * BLOCK_K;
const X_LOADS = (X_VALUES + THREADS - 1u) / THREADS; // an invocation and round
const DY_LOADS = (DY_VALUES + THREADS - 1u) / THREADS;

struct Uniforms {
  height: u32, // H
  width: u32, // W
  channels: u32, // C / 4, rounded up
  filter_channels: u32, // C
  out_height: u32, // Ho
  out_width: u32, // Wo
  out_channels: u32, // K / 4
  filter_width: u32, // S
  stride_y: u32,
  stride_x: u32,
  dilation_y: u32,
  dilation_x: u32,
  pad_y: u32,
  pad_x: u32,
  taps: u32, // R S
  pixels: u32, // N Ho Wo
  column_tiles: u32,
  first_part: u32, // of df
  chunk_pixels: u32,
  step_images: u32, // BLOCK_P pixels, in images, rows and pixels
  step_rows: u32,
  step_pixels: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>; // [parts, R, S, C, K / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

var<workgroup> x_block: array<array<array<vec4<f32>, ROWS>, TILE_C>, BLOCK_P>; // vec4s of input channels
var<workgroup> dy_block: array<array<array<vec4<f32>, COLUMNS>, TILE_K>, BLOCK_P>; // vec4s of output channels

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = group.y * groups.x + group.x;
  let tile = index / u.column_tiles;
  let block_column = (index - tile * u.column_tiles) * BLOCK_K;
  let block_row = tile * BLOCK_C;
  let my_row = paired_row(local, ROWS, COLUMNS);
  let my_column = paired_column(local, ROWS, COLUMNS);
  let rows = u.taps * u.channels;
  let first_pixel = group.z * u.chunk_pixels;
  let last_pixel = min(first_pixel + u.chunk_pixels, u.pixels);
  var acc: array<vec4<f32>, 4u * TILE_C * TILE_K>;
  var next_x: array<vec4<f32>, X_LOADS>; // of the coming round
  var next_dy: array<vec4<f32>, DY_LOADS>;
  var channel: array<u32, X_LOADS>; // of the rows that this invocation loads
  var down: array<i32, X_LOADS>; // their tap
  var right: array<i32, X_LOADS>;
  var image: array<u32, X_LOADS>; // of the pixels that this invocation loads
  var y: array<u32, X_LOADS>;
  var x_place: array<u32, X_LOADS>;
  //#unroll
  for (var l = 0u; l < X_LOADS; l++) {
    let i = l * THREADS + local;
    let row = min(block_row + i % BLOCK_C, rows - 1u);
    let tap = row / u.channels;
    let r = tap / u.filter_width;
    channel[l] = row - tap * u.channels;
    down[l] = i32(r * u.dilation_y) - i32(u.pad_y);
    right[l] = i32((tap - r * u.filter_width) * u.dilation_x) - i32(u.pad_x);
    let pixel = first_pixel + i / BLOCK_C;
    let line = pixel / u.out_width;
    image[l] = line / u.out_height;
    y[l] = line - image[l] * u.out_height;
    x_place[l] = pixel - line * u.out_width;
  }

  // Round i loads for the next one, which is why there is one more.
  for (var first = first_pixel; first < last_pixel + BLOCK_P; first += BLOCK_P) {
    if (first > first_pixel) {
      //#unroll
      for (var l = 0u; l < X_LOADS; l++) {
        let i = l * THREADS + local;
        if (X_LOADS * THREADS == X_VALUES || i < X_VALUES) {
          x_block[i / BLOCK_C][i % BLOCK_C / ROWS][i % ROWS] = next_x[l];
        }
      }
      //#unroll
      for (var l = 0u; l < DY_LOADS; l++) {
        let i = l * THREADS + local;
        if (DY_LOADS * THREADS == DY_VALUES || i < DY_VALUES) {
          dy_block[i / BLOCK_K][i % BLOCK_K / COLUMNS][i % COLUMNS] = next_dy[l];
        }
      }
      workgroupBarrier();
    }
    if (first < last_pixel) {
      //#unroll
      for (var l = 0u; l < X_LOADS; l++) {
        let pixel = first + (l * THREADS + local) / BLOCK_C;
        var inside = pixel < last_pixel;
        var address = pixel * u.channels + channel[l];
        if (!DENSE) {
          let h = i32(y[l] * u.stride_y) + down[l];
          let w = i32(x_place[l] * u.stride_x) + right[l];
          inside = inside && h >= 0 && h < i32(u.height) && w >= 0 && w < i32(u.width);
          address = ((image[l] * u.height + u32(h)) * u.width + u32(w)) * u.channels + channel[l];
          x_place[l] += u.step_pixels;
          let wraps = x_place[l] >= u.out_width;
          x_place[l] -= select(0u, u.out_width, wraps);
          y[l] += u.step_rows + select(0u, 1u, wraps);
          let leaves = y[l] >= u.out_height;
          y[l] -= select(0u, u.out_height, leaves);
          image[l] += u.step_images + select(0u, 1u, leaves);
        }
        next_x[l] = select(vec4<f32>(0.0), x[address], inside);
      }
      //#unroll
      for (var l = 0u; l < DY_LOADS; l++) {
        let i = l * THREADS + local;
        let pixel = first + i / BLOCK_K;
        let column = min(block_column + i % BLOCK_K, u.out_channels - 1u);
        next_dy[l] = select(vec4<f32>(0.0), dy[pixel * u.out_channels + column], pixel < last_pixel);
      }
    }
    if (first > first_pixel) {
      //#unroll
      for (var p = 0u; p < BLOCK_P; p++) {
        var d: array<vec4<f32>, TILE_K>;
        //#unroll
        for (var j = 0u; j < TILE_K; j++) {
          d[j] = dy_block[p][j][my_column];
        }
        //#unroll
        for (var i = 0u; i < TILE_C; i++) {
          let v = x_block[p][i][my_row];
          //#unroll
          for (var j = 0u; j < TILE_K; j++) {
            acc[(4u * i) * TILE_K + j] = fma(vec4<f32>(v.x), d[j], acc[(4u * i) * TILE_K + j]);
            acc[(4u * i + 1u) * TILE_K + j] = fma(vec4<f32>(v.y), d[j], acc[(4u * i + 1u) * TILE_K + j]);
            acc[(4u * i + 2u) * TILE_K + j] = fma(vec4<f32>(v.z), d[j], acc[(4u * i + 2u) * TILE_K + j]);
            acc[(4u * i + 3u) * TILE_K + j] = fma(vec4<f32>(v.w), d[j], acc[(4u * i + 3u) * TILE_K + j]);
          }
        }
      }
      workgroupBarrier();
    }
  }
  //#unroll
  for (var i = 0u; i < 4u * TILE_C; i++) {
    let row = block_row + (i / 4u) * ROWS + my_row;
    let tap = row / u.channels;
    let c = 4u * (row - tap * u.channels) + i % 4u;
    //#unroll
    for (var j = 0u; j < TILE_K; j++) {
      let column = block_column + j * COLUMNS + my_column;
      if (row < rows && c < u.filter_channels && column < u.out_channels) {
        let filter_row = ((u.first_part + group.z) * u.taps + tap) * u.filter_channels + c;
        parts[filter_row * u.out_channels + column] = acc[i * TILE_K + j];
      }
    }
  }
}
