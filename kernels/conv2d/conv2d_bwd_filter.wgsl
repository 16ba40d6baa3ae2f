// df[r, s, c, k] = sum over n, ho, wo of
//   x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] dy[n, ho, wo, k]
// x is 0 beside the image, and not left out: an infinite dy makes NaN there.
//
// GEMM with rows R S C, columns K and N Ho Wo long sums. One invocation computes 4 TILE_C input channels of one tap
// times TILE_K vec4s of output channels in registers; a workgroup is one subgroup of LANES invocations, which share
// UNROLL pixels a round: each loads a part of dy's vec4s, and subgroupShuffle from a constant lane hands it round.
// Every invocation sums the pixels of its chunk in order; sum_parts.wgsl adds the chunks. Grid: tiles of (tap, input
// channels) times output channel tiles, output channels first, folded over x and y; z = chunks, more than one where
// llvmpipe's loops would end before the pixels do. Needs the feature "subgroups". For software adapters, where taps and
// channels fill the lanes; else conv2d_bwd_filter_pixels.wgsl.
//
// Measured on lavapipe 22.3.6: two pixels a round instead of one save 10 to 40 %, since a sum is read and written
// once; four are slower again in large tiles (the registers spill).
const TILE_C = 2u;
const TILE_K = 8u;
const UNROLL = 2u; // pixels a round
const PARTS = 4u; // of a vec4 of input channels that there are: 4 unless C < 4
const LANES = 8u;
const LOADS = (UNROLL * TILE_K + LANES - 1u) / LANES; // of dy, a lane and round

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
  let group_tile = index / u.column_tiles;
  let first_column = (index - group_tile * u.column_tiles) * TILE_K;
  let tile = group_tile * LANES + lane;
  let tiles = (u.channels + TILE_C - 1u) / TILE_C; // per tap
  let tap = min(tile / tiles, u.taps - 1u);
  let first_channel = (tile - (tile / tiles) * tiles) * TILE_C;
  let r = tap / u.filter_width;
  let down = i32(r * u.dilation_y) - i32(u.pad_y);
  let right = i32((tap - r * u.filter_width) * u.dilation_x) - i32(u.pad_x);
  var acc: array<vec4<f32>, 4u * TILE_C * TILE_K>;
  // What this lane loads of dy's block [UNROLL, TILE_K].
  var share_pixel: array<u32, LOADS>;
  var share: array<u32, LOADS>;
  //#unroll
  for (var l = 0u; l < LOADS; l++) {
    let entry = min(l * LANES + lane, UNROLL * TILE_K - 1u);
    share_pixel[l] = entry / TILE_K;
    share[l] = min(first_column + entry % TILE_K, u.out_channels - 1u);
  }
  var place: array<u32, TILE_C>;
  //#unroll
  for (var i = 0u; i < TILE_C; i++) {
    place[i] = min(first_channel + i, u.channels - 1u);
  }

  var part: array<vec4<f32>, LOADS>;
  var v: array<vec4<f32>, UNROLL * TILE_C>;
  var d: array<vec4<f32>, UNROLL * TILE_K>;
  let first_pixel = group.z * u.chunk_pixels;
  let last_pixel = min(first_pixel + u.chunk_pixels, u.pixels);
  let line = first_pixel / u.out_width;
  var row = line / u.out_height * u.height; // of x, where the image begins
  var ho = line % u.out_height;
  var wo = first_pixel - line * u.out_width;
  for (var first = first_pixel; first < last_pixel; first += UNROLL) {
    //#unroll
    for (var l = 0u; l < LOADS; l++) {
      let pixel = first + share_pixel[l];
      let value = dy[min(pixel, last_pixel - 1u) * u.out_channels + share[l]];
      part[l] = select(vec4<f32>(0.0), value, pixel < last_pixel); // it may be infinite
    }
    //#unroll
    for (var e = 0u; e < UNROLL * TILE_K; e++) {
      d[e] = subgroupShuffle(part[e / LANES], e % LANES);
    }
    //#unroll
    for (var p = 0u; p < UNROLL; p++) {
      let h = u32(i32(ho * u.stride_y) + down); // huge above the image
      let w = u32(i32(wo * u.stride_x) + right);
      let inside = h < u.height && w < u.width && first + p < last_pixel;
      let address = select(0u, ((row + h) * u.width + w) * u.channels, inside);
      //#unroll
      for (var i = 0u; i < TILE_C; i++) {
        v[p * TILE_C + i] = select(vec4<f32>(0.0), x[address + place[i]], inside);
      }
      wo += 1u;
      let row_ends = wo == u.out_width;
      wo = select(wo, 0u, row_ends);
      ho += select(0u, 1u, row_ends);
      let image_ends = ho == u.out_height;
      ho = select(ho, 0u, image_ends);
      row += select(0u, u.height, image_ends);
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
          if (PARTS > 1u) {
            acc[(4u * i + 1u) * TILE_K + j] = fma(vec4<f32>(a.y), b, acc[(4u * i + 1u) * TILE_K + j]);
          }
          if (PARTS > 2u) {
            acc[(4u * i + 2u) * TILE_K + j] = fma(vec4<f32>(a.z), b, acc[(4u * i + 2u) * TILE_K + j]);
          }
          if (PARTS > 3u) {
            acc[(4u * i + 3u) * TILE_K + j] = fma(vec4<f32>(a.w), b, acc[(4u * i + 3u) * TILE_K + j]);
          }
        }
      }
    }
  }
  //#unroll
  for (var i = 0u; i < 4u * TILE_C; i++) {
    let channel = 4u * first_channel + i;
    //#unroll
    for (var j = 0u; j < TILE_K; j++) {
      if (tile < tiles * u.taps && channel < u.filter_channels && first_column + j < u.out_channels) {
        let row = ((u.first_part + group.z) * u.taps + tap) * u.filter_channels + channel;
        df[row * u.out_channels + first_column + j] = acc[i * TILE_K + j];
      }
    }
  }
}
