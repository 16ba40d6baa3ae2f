// y[n, ho, wo, k] = activation(bias[k] + residual[n, ho, wo, k] +
//   sum over r, s, c of x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] f[r, s, c, k])
//
// Implicit GEMM: M = N Ho Wo rows, K columns, R S C long sums. One invocation computes TILE_M pixels times TILE_N
// vec4s of channels in registers; a workgroup is one subgroup of LANES invocations. The lanes share the channels:
// each loads a part of the filter's 4 x TILE_N block and hands it round (subgroupShuffle from a constant lane is a
// broadcast). No workgroup memory, barrier or branch. Grid: pixel tiles times channel tiles, channels first, folded
// over x and y. Needs the feature "subgroups" (naga takes no `enable`). For software adapters; GPUs:
// conv2d_fwd_tiled.wgsl.
//
// Measured on lavapipe 22.3.6, two cores without AVX-512, the 20 kinds of layers of a small ResNet50, ms: medians from
// buffers 37, from storage textures 20; minima from textures, 6x32 and 4x16 tiles 12.7, 4x16 alone 13.4, 8x32 16.1, the
// best of eight for each layer 11.4. Stepping through the pixels without divisions and storing without branches: 1.3 to
// 1.8 times faster on small layers. Dead end: two vec4s of input channels a round (the registers spill).
//#include "activation.wgsl"
const TILE_M = 8u;
const TILE_N = 8u;
const LANES = 8u;
const PARTS = 4u; // of a vec4 of input channels that there are: 4 unless C < 4
const BIAS = false;
const RESIDUAL = false;
const PRELU = false;
const LOADS = (4u * TILE_N + LANES - 1u) / LANES; // of the filter, a lane and round

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
  slope: f32, // of leaky relu below 0
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
//#texture
@group(0) @binding(1) var<storage, read> filter_values: array<vec4<f32>>; // [R, S, C, K / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [K / 4]; the filter where there is none
//#texture
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>; // [N, Ho, Wo, K / 4]; else the filter
@group(0) @binding(4) var<storage, read> alpha: array<vec4<f32>>; // [K / 4] of prelu; the filter where there is none
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let index = group.y * groups.x + group.x;
  let tile = index / u.column_tiles;
  let first_column = (index - tile * u.column_tiles) * TILE_N;
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var place: array<u32, TILE_M>; // of the pixel in y
  var origin: array<u32, TILE_M>; // first row of the pixel's image, in rows
  var top: array<i32, TILE_M>;
  var left: array<i32, TILE_M>;
  var pixel = min((tile * LANES + lane) * TILE_M, u.pixels - 1u);
  let first_row = pixel / u.out_width;
  var image = first_row / u.out_height;
  var ho = first_row - image * u.out_height;
  var wo = pixel - first_row * u.out_width;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    place[i] = pixel * u.out_channels;
    origin[i] = image * u.height;
    top[i] = i32(ho * u.stride_y) - i32(u.pad_y);
    left[i] = i32(wo * u.stride_x) - i32(u.pad_x);
    let step = select(0u, 1u, pixel + 1u < u.pixels);
    pixel += step;
    wo += step;
    let row_ends = wo == u.out_width;
    wo = select(wo, 0u, row_ends);
    ho += select(0u, 1u, row_ends);
    let image_ends = ho == u.out_height;
    ho = select(ho, 0u, image_ends);
    image += select(0u, 1u, image_ends);
  }
  // What this lane loads of the filter's block [4, TILE_N]: its row, and its place from the block's first row.
  var share_row: array<u32, LOADS>;
  var share: array<u32, LOADS>;
  //#unroll
  for (var l = 0u; l < LOADS; l++) {
    let entry = l * LANES + lane;
    share_row[l] = min(entry / TILE_N, 3u);
    share[l] = share_row[l] * u.out_channels + min(first_column + entry % TILE_N, u.out_channels - 1u);
  }

  var row_address: array<u32, TILE_M>; // of the tap's row, and whether the image has it
  var row_inside: array<bool, TILE_M>;
  var address: array<u32, TILE_M>;
  var inside: array<bool, TILE_M>;
  var part: array<vec4<f32>, LOADS>;
  var f: array<vec4<f32>, 4u * TILE_N>;
  var filter_row = 0u;
  for (var r = 0u; r < u.filter_height; r++) {
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let h = u32(top[i] + i32(r * u.dilation_y)); // huge above the image
      row_inside[i] = h < u.height;
      row_address[i] = (origin[i] + h) * u.width * u.channels;
    }
    for (var s = 0u; s < u.filter_width; s++) {
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let w = u32(left[i] + i32(s * u.dilation_x));
        inside[i] = row_inside[i] && w < u.width;
        address[i] = select(0u, row_address[i] + w * u.channels, inside[i]);
      }
      for (var c = 0u; c < u.channels; c++) {
        //#unroll
        for (var l = 0u; l < LOADS; l++) {
          let value = filter_values[(filter_row + 4u * c) * u.out_channels + share[l]];
          part[l] = select(vec4<f32>(0.0), value, 4u * c + share_row[l] < u.filter_channels);
        }
        //#unroll
        for (var e = 0u; e < 4u * TILE_N; e++) {
          f[e] = subgroupShuffle(part[e / LANES], e % LANES);
        }
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let v = select(vec4<f32>(0.0), x[address[i] + c], inside[i]);
          //#unroll
          for (var j = 0u; j < TILE_N; j++) {
            acc[i * TILE_N + j] = fma(vec4<f32>(v.x), f[j], acc[i * TILE_N + j]);
            if (PARTS > 1u) {
              acc[i * TILE_N + j] = fma(vec4<f32>(v.y), f[TILE_N + j], acc[i * TILE_N + j]);
            }
            if (PARTS > 2u) {
              acc[i * TILE_N + j] = fma(vec4<f32>(v.z), f[2u * TILE_N + j], acc[i * TILE_N + j]);
            }
            if (PARTS > 3u) {
              acc[i * TILE_N + j] = fma(vec4<f32>(v.w), f[3u * TILE_N + j], acc[i * TILE_N + j]);
            }
          }
        }
      }
      filter_row += u.filter_channels;
    }
  }
  // Beyond the last pixel and channel the tile repeats these, and writes the same value again: no branch is needed.
  //#unroll
  for (var j = 0u; j < TILE_N; j++) {
    let column = min(first_column + j, u.out_channels - 1u);
    let slope = select(vec4<f32>(u.slope), alpha[column], PRELU);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      var value = acc[i * TILE_N + j];
      if (BIAS) {
        value += bias[column];
      }
      if (RESIDUAL) {
        value += residual[place[i] + column];
      }
      y[place[i] + column] = activate(value, slope);
    }
  }
}
