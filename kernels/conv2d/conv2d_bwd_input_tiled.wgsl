// dx[n, h, w, c] = sum over r, s, k of
//   dy[n, (h + pad - r dilation) / stride, (w + pad - s dilation) / stride, k] f[r, s, c, k]
// over the taps at which both divisions are exact.
//
// For GPUs. The pixels of dx fall into stride_y * stride_x phases (z of the grid) in which the same taps count. In a
// phase it is conv2d_fwd_tiled.wgsl's GEMM on the gradient: a workgroup computes BLOCK_M pixels times BLOCK_N vec4s of
// input channels, BLOCK_D vec4s of (tap, output channel) a round through workgroup memory, where the filter arrives
// turned.
// Grid: x and y = pixel tiles of a phase times channel tiles, channels first, z = phases.
const TILE_M = 8u;
const TILE_N = 2u;
const BLOCK_M = 64u;
const BLOCK_N = 16u;
const BLOCK_D = 2u;
const ROWS = BLOCK_M / TILE_M; // of invocations
const COLUMNS = BLOCK_N / TILE_N;
const THREADS = ROWS * COLUMNS;
const DY_LOADS = (BLOCK_M * BLOCK_D + THREADS - 1u) / THREADS; // an invocation and round
const F_LOADS = (BLOCK_D * BLOCK_N + THREADS - 1u) / THREADS; // of 4x4 values

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
  column_tiles: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

var<workgroup> dy_block: array<vec4<f32>, BLOCK_M * (BLOCK_D + 1u)>; // [BLOCK_M, BLOCK_D], vec4s of output channels
var<workgroup> f_block: array<vec4<f32>, 4u * BLOCK_D * BLOCK_N>; // [4 BLOCK_D, BLOCK_N], a vec4 of input channels each

/** The first tap r with (place - r dilation) a multiple of the stride; taps if there is none. */
fn first_tap(place: u32, stride: u32, dilation: u32, taps: u32) -> u32 {
  var first = taps;
  for (var i = min(stride, taps); i > 0u; i--) {
    if ((i32(place) - i32((i - 1u) * dilation)) % i32(stride) == 0) {
      first = i - 1u;
    }
  }
  return first;
}

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
  let phase_y = group.z / u.phases_x;
  let phase_x = group.z - phase_y * u.phases_x;
  let rows = (u.height + u.stride_y - 1u - phase_y) / u.stride_y; // of the phase
  let columns = (u.width + u.stride_x - 1u - phase_x) / u.stride_x;
  let pixels = u.images * rows * columns;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var image: array<u32, DY_LOADS>; // of the pixels that this invocation loads, and their place in the phase
  var y: array<u32, DY_LOADS>;
  var x: array<u32, DY_LOADS>;
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
  let depth = taps_y * taps_x * u.out_channels;
  for (var first = 0u; first < depth; first += BLOCK_D) {
    //#unroll
    for (var l = 0u; l < DY_LOADS; l++) {
      let entry = l * THREADS + local;
      let place = first + entry % BLOCK_D;
      let tap = place / u.out_channels;
      let tap_y = tap / max(taps_x, 1u);
      let r = first_r + tap_y * u.tap_step_y;
      let s = first_s + (tap - tap_y * taps_x) * u.tap_step_x;
      let h = i32(y[l]) + (i32(phase_y + u.pad_y) - i32(r * u.dilation_y)) / i32(u.stride_y);
      let w = i32(x[l]) + (i32(phase_x + u.pad_x) - i32(s * u.dilation_x)) / i32(u.stride_x);
      let inside = place < depth && h >= 0 && h < i32(u.out_height) && w >= 0 && w < i32(u.out_width);
      let pixel = (image[l] * u.out_height + u32(h)) * u.out_width + u32(w);
      let address = pixel * u.out_channels + place - tap * u.out_channels;
      let value = select(vec4<f32>(0.0), dy[select(0u, address, inside)], inside);
      if (entry < BLOCK_M * BLOCK_D) {
        dy_block[(entry / BLOCK_D) * (BLOCK_D + 1u) + entry % BLOCK_D] = value;
      }
    }
    //#unroll
    for (var l = 0u; l < F_LOADS; l++) {
      let entry = l * THREADS + local;
      let row = entry / BLOCK_N;
      let column = entry % BLOCK_N;
      let place = first + row;
      let tap = place / u.out_channels;
      let tap_y = tap / max(taps_x, 1u);
      let r = first_r + tap_y * u.tap_step_y;
      let s = first_s + (tap - tap_y * taps_x) * u.tap_step_x;
      let k = place - tap * u.out_channels;
      let channel = 4u * (block_column + column);
      let inside = place < depth && channel < u.filter_channels;
      let first_row = (r * u.filter_width + s) * u.filter_channels;
      var block: array<vec4<f32>, 4>;
      //#unroll
      for (var q = 0u; q < 4u; q++) {
        let address = (first_row + min(channel + q, u.filter_channels - 1u)) * u.out_channels + k;
        block[q] = filter_values[select(0u, address, inside)];
      }
      if (entry < BLOCK_D * BLOCK_N) {
        let at = 4u * row * BLOCK_N + column;
        f_block[at] = vec4<f32>(block[0].x, block[1].x, block[2].x, block[3].x);
        f_block[at + BLOCK_N] = vec4<f32>(block[0].y, block[1].y, block[2].y, block[3].y);
        f_block[at + 2u * BLOCK_N] = vec4<f32>(block[0].z, block[1].z, block[2].z, block[3].z);
        f_block[at + 3u * BLOCK_N] = vec4<f32>(block[0].w, block[1].w, block[2].w, block[3].w);
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
        let v = dy_block[(i * ROWS + my_row) * (BLOCK_D + 1u) + d];
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
  for (var i = 0u; i < TILE_M; i++) {
    let pixel = block_pixel + i * ROWS + my_row;
    let row = pixel / columns;
    let image_row = row / rows * u.height + (row % rows) * u.stride_y + phase_y;
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
