// dx[n, h, w, c] = sum over r, s, k of
//   dy[n, (h + pad - r dilation) / stride, (w + pad - s dilation) / stride, k] f[r, s, c, k]
// over the taps at which both divisions are exact. dy is 0 beside the output, and not left out: an infinite filter makes NaN.
//
// The forward kernel's tile on the gradient: one invocation computes TILE_M pixels times TILE_N vec4s of input
// channels, and the lanes share the filter by subgroupShuffle. The filter is read as it lies: registers turn the
// blocks of [c, k], which costs nothing. The pixels of dx fall into stride_y * stride_x phases (z of the grid) in
// which the same taps count, so at stride 2 nothing is multiplied by a zero that the stride put there. Grid: x and y
// = pixel tiles of a phase times channel tiles, channels first, z = phases. Needs the feature "subgroups". For
// software adapters; conv2d_bwd_input_tiled.wgsl is for GPUs. A 1x1 filter reaches one phase, the grid's only one with
// SPREAD: whoever has a pixel sets its neighbours of the other phases to 0. Dead ends: these phases as others (a large
// tile of zeros is code that the processor's cache does not hold), and a dispatch of zeros before.
//#include "first_tap.wgsl"
const TILE_M = 8u;
const TILE_N = 8u;
const LANES = 8u;
const SPREAD = false; // only with phase 0
const LOADS = (4u * TILE_N + LANES - 1u) / LANES; // of the filter, a lane and round

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

//#texture
@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
//#texture
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let index = group.y * groups.x + group.x;
  let tile = index / u.column_tiles;
  let first_column = (index - tile * u.column_tiles) * TILE_N;
  let phase_y = group.z / u.phases_x;
  let phase_x = group.z - phase_y * u.phases_x;
  let rows = (u.height + u.stride_y - 1u - phase_y) / u.stride_y; // of the phase
  let columns = (u.width + u.stride_x - 1u - phase_x) / u.stride_x;
  let pixels = u.images * rows * columns;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var image: array<u32, TILE_M>;
  var y: array<u32, TILE_M>; // place in the phase
  var x: array<u32, TILE_M>;
  var pixel = min((tile * LANES + lane) * TILE_M, pixels - 1u);
  let first_row = pixel / columns;
  var next_image = first_row / rows;
  var next_y = first_row - next_image * rows;
  var next_x = pixel - first_row * columns;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    image[i] = next_image;
    y[i] = next_y;
    x[i] = next_x;
    let step = select(0u, 1u, pixel + 1u < pixels);
    pixel += step;
    next_x += step;
    let row_ends = next_x == columns;
    next_x = select(next_x, 0u, row_ends);
    next_y += select(0u, 1u, row_ends);
    let image_ends = next_y == rows;
    next_y = select(next_y, 0u, image_ends);
    next_image += select(0u, 1u, image_ends);
  }
  // What this lane loads of the filter: one vec4 of k for each of these channels of dx.
  var share: array<u32, LOADS>;
  //#unroll
  for (var l = 0u; l < LOADS; l++) {
    let entry = min(l * LANES + lane, 4u * TILE_N - 1u);
    let channel = 4u * min(first_column + entry / 4u, u.channels - 1u) + entry % 4u;
    share[l] = min(channel, u.filter_channels - 1u) * u.out_channels;
  }

  var row_address: array<u32, TILE_M>; // of the tap's row, and whether dy has it
  var row_inside: array<bool, TILE_M>;
  var address: array<u32, TILE_M>;
  var inside: array<bool, TILE_M>;
  var part: array<vec4<f32>, LOADS>;
  var f: array<vec4<f32>, 4u * TILE_N>;
  let first_r = first_tap(phase_y + u.pad_y, u.stride_y, u.dilation_y, u.filter_height);
  let first_s = first_tap(phase_x + u.pad_x, u.stride_x, u.dilation_x, u.filter_width);
  for (var r = first_r; r < u.filter_height; r += u.tap_step_y) {
    let down = (i32(phase_y + u.pad_y) - i32(r * u.dilation_y)) / i32(u.stride_y);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let h = u32(i32(y[i]) + down); // huge above dy
      row_inside[i] = h < u.out_height;
      row_address[i] = (image[i] * u.out_height + h) * u.out_width * u.out_channels;
    }
    for (var s = first_s; s < u.filter_width; s += u.tap_step_x) {
      let right = (i32(phase_x + u.pad_x) - i32(s * u.dilation_x)) / i32(u.stride_x);
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let w = u32(i32(x[i]) + right);
        inside[i] = row_inside[i] && w < u.out_width;
        address[i] = select(0u, row_address[i] + w * u.out_channels, inside[i]);
      }
      let first_entry = (r * u.filter_width + s) * u.filter_channels * u.out_channels;
      for (var k = 0u; k < u.out_channels; k++) {
        //#unroll
        for (var l = 0u; l < LOADS; l++) {
          part[l] = filter_values[first_entry + share[l] + k];
        }
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          let f0 = subgroupShuffle(part[(4u * j) / LANES], (4u * j) % LANES);
          let f1 = subgroupShuffle(part[(4u * j + 1u) / LANES], (4u * j + 1u) % LANES);
          let f2 = subgroupShuffle(part[(4u * j + 2u) / LANES], (4u * j + 2u) % LANES);
          let f3 = subgroupShuffle(part[(4u * j + 3u) / LANES], (4u * j + 3u) % LANES);
          f[j] = vec4<f32>(f0.x, f1.x, f2.x, f3.x);
          f[TILE_N + j] = vec4<f32>(f0.y, f1.y, f2.y, f3.y);
          f[2u * TILE_N + j] = vec4<f32>(f0.z, f1.z, f2.z, f3.z);
          f[3u * TILE_N + j] = vec4<f32>(f0.w, f1.w, f2.w, f3.w);
        }
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let v = select(vec4<f32>(0.0), dy[address[i] + k], inside[i]);
          //#unroll
          for (var j = 0u; j < TILE_N; j++) {
            acc[i * TILE_N + j] = fma(vec4<f32>(v.x), f[j], acc[i * TILE_N + j]);
            acc[i * TILE_N + j] = fma(vec4<f32>(v.y), f[TILE_N + j], acc[i * TILE_N + j]);
            acc[i * TILE_N + j] = fma(vec4<f32>(v.z), f[2u * TILE_N + j], acc[i * TILE_N + j]);
            acc[i * TILE_N + j] = fma(vec4<f32>(v.w), f[3u * TILE_N + j], acc[i * TILE_N + j]);
          }
        }
      }
    }
  }
  if (SPREAD) {
    // A place beyond the image is clamped, if need be to the pixel itself, which is written below.
    let cells = u.stride_y * u.stride_x + (group.z >> 16u); // + 0: see kernels/README.md on llvmpipe
    for (var i = 0u; i < TILE_M; i++) {
      let at = min((tile * LANES + lane) * TILE_M + i, pixels - 1u);
      let row = at / columns;
      let owner = row / rows;
      let top = (row - owner * rows) * u.stride_y;
      let left = (at - row * columns) * u.stride_x;
      for (var cell = 0u; cell < cells; cell++) {
        let down = cell / u.stride_x;
        let h = min(top + down, u.height - 1u);
        let w = min(left + cell - down * u.stride_x, u.width - 1u);
        let place = ((owner * u.height + h) * u.width + w) * u.channels;
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          dx[place + min(first_column + j, u.channels - 1u)] = vec4<f32>(0.0);
        }
      }
    }
  }
  // Beyond the last pixel and channel the tile repeats these, and writes the same value again: no branch is needed.
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let h = phase_y + y[i] * u.stride_y;
    let w = phase_x + x[i] * u.stride_x;
    let place = ((image[i] * u.height + h) * u.width + w) * u.channels;
    //#unroll
    for (var j = 0u; j < TILE_N; j++) {
      dx[place + min(first_column + j, u.channels - 1u)] = acc[i * TILE_N + j];
    }
  }
}
