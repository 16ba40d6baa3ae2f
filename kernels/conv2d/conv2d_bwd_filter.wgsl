// df[r, s, c, k] = sum over n, ho, wo of x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] dy[n, ho, wo, k]
//
// GEMM with rows R S C, columns K and N Ho Wo long sums. One invocation computes 4 TILE_C input channels of one tap
// times TILE_K vec4s of output channels in registers; a workgroup shares its pixel, so dy comes through a uniform
// window of at most 64 KiB. Each dispatch covers the pixels of one window and adds to df: the order of the sums is
// fixed, and nothing but df is written. Grid: x = (tap, input channel tile), y = output channel tiles.
const TILE_C = 4u;
const TILE_K = 4u;

struct Uniforms {
  height: u32, // H
  width: u32, // W
  channels: u32, // C / 4
  out_height: u32, // Ho
  out_width: u32, // Wo
  out_channels: u32, // K / 4
  filter_width: u32, // S
  taps: u32, // R S
  stride_y: u32,
  stride_x: u32,
  dilation_y: u32,
  dilation_x: u32,
  pad_y: u32,
  pad_x: u32,
  first_pixel: u32, // of this dispatch
  last_pixel: u32, // exclusive
  add: u32, // 1: add to df, which earlier dispatches have begun
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<uniform> dy_window: array<vec4<f32>, 4096>; // [pixels, K / 4]
@group(0) @binding(2) var<storage, read_write> df: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let tiles = (u.channels + TILE_C - 1u) / TILE_C; // per tap
  let tap = min(id.x / tiles, u.taps - 1u);
  let first_channel = (id.x - (id.x / tiles) * tiles) * TILE_C;
  let first_column = group.y * TILE_K;
  let r = tap / u.filter_width;
  let down = i32(r * u.dilation_y) - i32(u.pad_y);
  let right = i32((tap - r * u.filter_width) * u.dilation_x) - i32(u.pad_x);
  var acc: array<vec4<f32>, 4u * TILE_C * TILE_K>;
  var v: array<vec4<f32>, TILE_C>;
  var d: array<vec4<f32>, TILE_K>;

  let row = u.first_pixel / u.out_width;
  var image = row / u.out_height;
  var ho = row - image * u.out_height;
  var wo = u.first_pixel - row * u.out_width;
  var entry = 0u;
  for (var pixel = u.first_pixel; pixel < u.last_pixel; pixel++) {
    let h = i32(ho * u.stride_y) + down;
    let w = i32(wo * u.stride_x) + right;
    let inside = h >= 0 && h < i32(u.height) && w >= 0 && w < i32(u.width);
    let address = select(0u, ((image * u.height + u32(h)) * u.width + u32(w)) * u.channels, inside);
    //#unroll
    for (var j = 0u; j < TILE_K; j++) {
      d[j] = dy_window[entry + min(first_column + j, u.out_channels - 1u)];
    }
    entry += u.out_channels;
    //#unroll
    for (var i = 0u; i < TILE_C; i++) {
      v[i] = select(vec4<f32>(0.0), x[address + min(first_channel + i, u.channels - 1u)], inside);
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        acc[(4u * i) * TILE_K + j] = fma(vec4<f32>(v[i].x), d[j], acc[(4u * i) * TILE_K + j]);
        acc[(4u * i + 1u) * TILE_K + j] = fma(vec4<f32>(v[i].y), d[j], acc[(4u * i + 1u) * TILE_K + j]);
        acc[(4u * i + 2u) * TILE_K + j] = fma(vec4<f32>(v[i].z), d[j], acc[(4u * i + 2u) * TILE_K + j]);
        acc[(4u * i + 3u) * TILE_K + j] = fma(vec4<f32>(v[i].w), d[j], acc[(4u * i + 3u) * TILE_K + j]);
      }
    }
    wo += 1u;
    if (wo == u.out_width) {
      wo = 0u;
      ho += 1u;
      if (ho == u.out_height) {
        ho = 0u;
        image += 1u;
      }
    }
  }
  //#unroll
  for (var i = 0u; i < 4u * TILE_C; i++) {
    let channel = 4u * first_channel + i;
    //#unroll
    for (var j = 0u; j < TILE_K; j++) {
      if (id.x < tiles * u.taps && channel < 4u * u.channels && first_column + j < u.out_channels) {
        let at = (tap * 4u * u.channels + channel) * u.out_channels + first_column + j;
        if (u.add == 1u) {
          df[at] += acc[i * TILE_K + j];
        } else {
          df[at] = acc[i * TILE_K + j];
        }
      }
    }
  }
}
