// df[r, s, c, k] = sum over n, ho, wo of
//   x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] dy[n, ho, wo, k]
// x is 0 beside the image, and not left out: an infinite dy makes NaN there.
//
// The gradient of the filter where there are many pixels and few taps and channels. A workgroup, which is one
// subgroup of LANES invocations, computes 4 TILE_C input channels of one tap times TILE_K vec4s of output channels.
// Each lane sums every LANES-th pixel of a chunk; subgroupAdd then adds the lanes, so no second dispatch is needed for one
// chunk, as there is unless llvmpipe's loops would end before the pixels do. Grid: taps times input channel tiles times
// output channel tiles, output channels first, folded over x and y; z = chunks. Needs the feature "subgroups".
//
// On lavapipe 22.3.6, two cores without AVX-512, [16, 12, 12, 16], 1x1, 16 output channels takes about 0.3 ms by the clock
// with every tile (TILE_C, TILE_K of 1 to 4, 1 to 8 pixels a round) and without any address arithmetic; a dispatch with
// nothing to do takes 0.13. conv2's other layers: TILE_C 4 instead of 2 0.83 to 1.0 of the time, TILE_K 2 or four pixels a
// round no less. Dead end: the pixels of a round innermost, for one channel at a time.
const TILE_C = 4u;
const TILE_K = 4u;
const UNROLL = 2u; // pixels of a lane a round
const LANES = 8u;

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
  step_images: u32, // LANES pixels on: so many images, rows and pixels
  step_rows: u32,
  step_pixels: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
//#texture
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(2) var<storage, read_write> df: array<vec4<f32>>; // [parts, R, S, C, K / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let index = group.y * groups.x + group.x;
  let tile = index / u.column_tiles;
  let first_column = (index - tile * u.column_tiles) * TILE_K;
  let tiles = (u.channels + TILE_C - 1u) / TILE_C; // per tap
  let tap = tile / tiles;
  let first_channel = (tile - tap * tiles) * TILE_C;
  let r = tap / u.filter_width;
  let down = i32(r * u.dilation_y) - i32(u.pad_y);
  let right = i32((tap - r * u.filter_width) * u.dilation_x) - i32(u.pad_x);
  var acc: array<vec4<f32>, 4u * TILE_C * TILE_K>;
  var v: array<vec4<f32>, UNROLL * TILE_C>;
  var d: array<vec4<f32>, UNROLL * TILE_K>;

  let first_pixel = group.z * u.chunk_pixels;
  let last_pixel = min(first_pixel + u.chunk_pixels, u.pixels);
  let pixel_row = (first_pixel + lane) / u.out_width;
  var image = pixel_row / u.out_height;
  var ho = pixel_row - image * u.out_height;
  var wo = first_pixel + lane - pixel_row * u.out_width;
  for (var first = first_pixel; first < last_pixel; first += UNROLL * LANES) {
    //#unroll
    for (var p = 0u; p < UNROLL; p++) {
      let pixel = first + p * LANES + lane;
      let h = u32(i32(ho * u.stride_y) + down); // huge above the image
      let w = u32(i32(wo * u.stride_x) + right);
      let inside = h < u.height && w < u.width && pixel < last_pixel;
      let address = select(0u, ((image * u.height + h) * u.width + w) * u.channels, inside);
      let dy_address = min(pixel, last_pixel - 1u) * u.out_channels;
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        let value = dy[dy_address + min(first_column + j, u.out_channels - 1u)];
        d[p * TILE_K + j] = select(vec4<f32>(0.0), value, pixel < last_pixel); // it may be infinite
      }
      //#unroll
      for (var i = 0u; i < TILE_C; i++) {
        let value = x[address + min(first_channel + i, u.channels - 1u)];
        v[p * TILE_C + i] = select(vec4<f32>(0.0), value, inside);
      }
      wo += u.step_pixels;
      let row_ends = wo >= u.out_width;
      wo -= select(0u, u.out_width, row_ends);
      ho += u.step_rows + select(0u, 1u, row_ends);
      let image_ends = ho >= u.out_height;
      ho -= select(0u, u.out_height, image_ends);
      image += u.step_images + select(0u, 1u, image_ends);
    }
    //#unroll
    for (var i = 0u; i < TILE_C; i++) {
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        //#unroll
        for (var p = 0u; p < UNROLL; p++) {
          let a = v[p * TILE_C + i];
          let b = d[p * TILE_K + j];
          acc[(4u * i) * TILE_K + j] = fma(vec4<f32>(a.x), b, acc[(4u * i) * TILE_K + j]);
          acc[(4u * i + 1u) * TILE_K + j] = fma(vec4<f32>(a.y), b, acc[(4u * i + 1u) * TILE_K + j]);
          acc[(4u * i + 2u) * TILE_K + j] = fma(vec4<f32>(a.z), b, acc[(4u * i + 2u) * TILE_K + j]);
          acc[(4u * i + 3u) * TILE_K + j] = fma(vec4<f32>(a.w), b, acc[(4u * i + 3u) * TILE_K + j]);
        }
      }
    }
  }
  // The lanes' sums, a row of channels each: lane l stores the sums e of which e % LANES == l.
  var sum = vec4<f32>(0.0);
  //#unroll
  for (var e = 0u; e < 4u * TILE_C * TILE_K; e++) {
    sum = select(sum, subgroupAdd(acc[e]), lane == e % LANES);
    if (e % LANES == LANES - 1u || e == 4u * TILE_C * TILE_K - 1u) {
      let mine = e - e % LANES + lane;
      let channel = 4u * first_channel + mine / TILE_K;
      let column = first_column + mine % TILE_K;
      let real = mine <= e && tap < u.taps && channel < u.filter_channels && column < u.out_channels;
      if (real) {
        df[(((u.first_part + group.z) * u.taps + tap) * u.filter_channels + channel) * u.out_channels + column] = sum;
      }
    }
  }
}
