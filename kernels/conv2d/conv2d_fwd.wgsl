// y[n, ho, wo, k] = sum over r, s, c of x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] f[r, s, c, k]
//
// Implicit GEMM: M = N Ho Wo rows, K columns, R S C long sums. One invocation computes TILE_M pixels times TILE_N
// vec4s of channels in registers; a workgroup shares its channels, so the filter comes through a uniform window
// (see program.ts). Grid: x = pixel tiles, y = channel tiles. A filter beyond 64 KiB takes several dispatches, each
// over some taps and input channels, adding to y. No workgroup memory, no barrier, no early return.
//
// Measured on lavapipe 22.3.6, two cores, [6144, 512] x [512, 64]: 16x16 tile 35 GFLOP/s, 8x32 33, 16x32 36 (but 1.1 s
// to compile against 0.46), 8x16 17, 32x8 20; filter in a storage buffer instead of the window: 16x16 15, 8x32 23.
// Dead end: unrolling the channel loop by 8 instead of 4 (22 against 36: the registers spill).
const TILE_M = 16u;
const TILE_N = 4u;

struct Uniforms {
  pixels: u32, // M = N Ho Wo
  height: u32, // H
  width: u32, // W
  channels: u32, // C / 4
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
  first_tap: u32, // of this dispatch: tap = r S + s
  last_tap: u32, // exclusive
  first_channel: u32, // of this dispatch, in vec4s
  last_channel: u32, // exclusive
  add: u32, // 1: add to y, which earlier dispatches have begun
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<uniform> filter_window: array<vec4<f32>, 4096>; // [taps, channels * 4, K / 4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let first_pixel = id.x * TILE_M;
  let first_column = group.y * TILE_N;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var origin: array<u32, TILE_M>; // first row of the pixel's image, in rows
  var top: array<i32, TILE_M>;
  var left: array<i32, TILE_M>;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let pixel = min(first_pixel + i, u.pixels - 1u);
    let row = pixel / u.out_width;
    let image = row / u.out_height;
    origin[i] = image * u.height;
    top[i] = i32((row - image * u.out_height) * u.stride_y) - i32(u.pad_y);
    left[i] = i32((pixel - row * u.out_width) * u.stride_x) - i32(u.pad_x);
  }
  var address: array<u32, TILE_M>;
  var inside: array<bool, TILE_M>;
  var f: array<vec4<f32>, 4u * TILE_N>;
  var entry = 0u;
  for (var tap = u.first_tap; tap < u.last_tap; tap++) {
    let r = tap / u.filter_width;
    let down = i32(r * u.dilation_y);
    let right = i32((tap - r * u.filter_width) * u.dilation_x);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let h = top[i] + down;
      let w = left[i] + right;
      inside[i] = h >= 0 && h < i32(u.height) && w >= 0 && w < i32(u.width);
      address[i] = select(0u, ((origin[i] + u32(h)) * u.width + u32(w)) * u.channels, inside[i]);
    }
    for (var c = u.first_channel; c < u.last_channel; c++) {
      //#unroll
      for (var j = 0u; j < TILE_N; j++) {
        let column = min(first_column + j, u.out_channels - 1u);
        f[j] = filter_window[entry + column];
        f[TILE_N + j] = filter_window[entry + u.out_channels + column];
        f[2u * TILE_N + j] = filter_window[entry + 2u * u.out_channels + column];
        f[3u * TILE_N + j] = filter_window[entry + 3u * u.out_channels + column];
      }
      entry += 4u * u.out_channels;
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let v = select(vec4<f32>(0.0), x[address[i] + c], inside[i]);
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
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    //#unroll
    for (var j = 0u; j < TILE_N; j++) {
      if (first_pixel + i < u.pixels && first_column + j < u.out_channels) {
        let at = (first_pixel + i) * u.out_channels + first_column + j;
        if (u.add == 1u) {
          y[at] += acc[i * TILE_N + j];
        } else {
          y[at] = acc[i * TILE_N + j];
        }
      }
    }
  }
}
