// dx[n, h, w, c] = sum over r, s, k of dy[n, (h + pad - r dilation) / stride, (w + pad - s dilation) / stride, k] f[r, s, c, k]
// over the taps at which both divisions are exact.
//
// The forward kernel's tile on the gradient, with the filter as [R, S, K, C] (transpose.wgsl) through a uniform
// window. The pixels of dx fall into stride_y * stride_x phases (z of the grid) in which the same taps count, so at
// stride 2 nothing is multiplied by a zero that the stride put there. Grid: x = pixel tiles of a phase, y = channel
// tiles, z = phases. A filter beyond 64 KiB takes several dispatches, each adding to dx.
const TILE_M = 16u;
const TILE_N = 4u;

struct Uniforms {
  images: u32, // N
  height: u32, // H, of dx
  width: u32, // W
  channels: u32, // C / 4
  out_height: u32, // Ho, of dy
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
  first_channel: u32, // of dy in this dispatch, in vec4s
  last_channel: u32, // exclusive
  add: u32, // 1: add to dx, which earlier dispatches have begun
}

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(1) var<uniform> filter_window: array<vec4<f32>, 4096>; // [taps, channels of dy * 4, C / 4]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let phase_y = group.z / u.stride_x;
  let phase_x = group.z - phase_y * u.stride_x;
  let rows = (u.height + u.stride_y - 1u - phase_y) / u.stride_y; // of the phase
  let columns = (u.width + u.stride_x - 1u - phase_x) / u.stride_x;
  let pixels = u.images * rows * columns;
  let first_pixel = id.x * TILE_M;
  let first_column = group.y * TILE_N;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var image: array<u32, TILE_M>;
  var y: array<u32, TILE_M>; // place in the phase
  var x: array<u32, TILE_M>;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let pixel = min(first_pixel + i, max(pixels, 1u) - 1u);
    let row = pixel / max(columns, 1u);
    image[i] = row / max(rows, 1u);
    y[i] = row - image[i] * rows;
    x[i] = pixel - row * columns;
  }
  var address: array<u32, TILE_M>;
  var inside: array<bool, TILE_M>;
  var f: array<vec4<f32>, 4u * TILE_N>;
  let taken = (u.last_channel - u.first_channel) * 4u * u.channels; // vec4s of the window per tap
  for (var tap = u.first_tap; tap < u.last_tap; tap++) {
    let r = tap / u.filter_width;
    let down = i32(phase_y + u.pad_y) - i32(r * u.dilation_y);
    let right = i32(phase_x + u.pad_x) - i32((tap - r * u.filter_width) * u.dilation_x);
    if (down % i32(u.stride_y) == 0 && right % i32(u.stride_x) == 0) {
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let h = i32(y[i]) + down / i32(u.stride_y);
        let w = i32(x[i]) + right / i32(u.stride_x);
        inside[i] = h >= 0 && h < i32(u.out_height) && w >= 0 && w < i32(u.out_width);
        address[i] = select(
          0u,
          ((image[i] * u.out_height + u32(h)) * u.out_width + u32(w)) * u.out_channels,
          inside[i],
        );
      }
      var entry = (tap - u.first_tap) * taken;
      for (var c = u.first_channel; c < u.last_channel; c++) {
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          let column = min(first_column + j, u.channels - 1u);
          f[j] = filter_window[entry + column];
          f[TILE_N + j] = filter_window[entry + u.channels + column];
          f[2u * TILE_N + j] = filter_window[entry + 2u * u.channels + column];
          f[3u * TILE_N + j] = filter_window[entry + 3u * u.channels + column];
        }
        entry += 4u * u.channels;
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let v = select(vec4<f32>(0.0), dy[address[i] + c], inside[i]);
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
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let h = phase_y + y[i] * u.stride_y;
    let w = phase_x + x[i] * u.stride_x;
    let row = ((image[i] * u.height + h) * u.width + w) * u.channels;
    //#unroll
    for (var j = 0u; j < TILE_N; j++) {
      if (first_pixel + i < pixels && first_column + j < u.channels) {
        if (u.add == 1u) {
          dx[row + first_column + j] += acc[i * TILE_N + j];
        } else {
          dx[row + first_column + j] = acc[i * TILE_N + j];
        }
      }
    }
  }
}
