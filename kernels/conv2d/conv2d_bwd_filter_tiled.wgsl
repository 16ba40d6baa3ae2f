// df[r, s, c, k] = sum over n, ho, wo of
//   x[n, ho stride + r dilation - pad, wo stride + s dilation - pad, c] dy[n, ho, wo, k]
//
// For GPUs: GEMM with rows R S C, columns K and N Ho Wo long sums. A workgroup computes BLOCK_C vec4s of (tap, input
// channel) times BLOCK_K vec4s of output channels over one chunk of the pixels, BLOCK_P pixels a round through
// workgroup memory; one invocation multiplies TILE_C vec4s (BLOCK_C / TILE_C apart) by TILE_K vec4s (BLOCK_K / TILE_K
// apart) in registers. The chunks' sums are added in order by sum_parts.wgsl. Grid: x and y = row tiles times column
// tiles, columns first, z = chunks.
const TILE_C = 2u;
const TILE_K = 2u;
const BLOCK_C = 16u;
const BLOCK_K = 16u;
const BLOCK_P = 8u;
const ROWS = BLOCK_C / TILE_C; // of invocations
const COLUMNS = BLOCK_K / TILE_K;
const THREADS = ROWS * COLUMNS;
const X_LOADS = (BLOCK_P * BLOCK_C + THREADS - 1u) / THREADS; // an invocation and round
const DY_LOADS = (BLOCK_P * BLOCK_K + THREADS - 1u) / THREADS;

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

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [N, H, W, C / 4]
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>; // [N, Ho, Wo, K / 4]
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>; // [parts, R, S, C, K / 4]
@group(0) @binding(3) var<uniform> u: Uniforms;

var<workgroup> x_block: array<vec4<f32>, BLOCK_P * BLOCK_C>; // [BLOCK_P, BLOCK_C], a vec4 of input channels each
var<workgroup> dy_block: array<vec4<f32>, BLOCK_P * BLOCK_K>; // [BLOCK_P, BLOCK_K], a vec4 of output channels each

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
  let my_row = local / COLUMNS;
  let my_column = local % COLUMNS;
  let rows = u.taps * u.channels;
  var acc: array<vec4<f32>, 4u * TILE_C * TILE_K>;
  var down: array<i32, X_LOADS>; // of the rows that this invocation loads
  var right: array<i32, X_LOADS>;
  var channel: array<u32, X_LOADS>;
  //#unroll
  for (var l = 0u; l < X_LOADS; l++) {
    let row = min(block_row + (l * THREADS + local) % BLOCK_C, rows - 1u);
    let tap = row / u.channels;
    let r = tap / u.filter_width;
    channel[l] = row - tap * u.channels;
    down[l] = i32(r * u.dilation_y) - i32(u.pad_y);
    right[l] = i32((tap - r * u.filter_width) * u.dilation_x) - i32(u.pad_x);
  }

  let last_pixel = min((group.z + 1u) * u.chunk_pixels, u.pixels);
  for (var first = group.z * u.chunk_pixels; first < last_pixel; first += BLOCK_P) {
    //#unroll
    for (var l = 0u; l < X_LOADS; l++) {
      let entry = l * THREADS + local;
      let pixel = first + entry / BLOCK_C;
      let pixel_row = pixel / u.out_width;
      let image = pixel_row / u.out_height;
      let h = i32((pixel_row - image * u.out_height) * u.stride_y) + down[l];
      let w = i32((pixel - pixel_row * u.out_width) * u.stride_x) + right[l];
      let inside = pixel < last_pixel && h >= 0 && h < i32(u.height) && w >= 0 && w < i32(u.width);
      let address = ((image * u.height + u32(h)) * u.width + u32(w)) * u.channels + channel[l];
      let value = select(vec4<f32>(0.0), x[select(0u, address, inside)], inside);
      if (entry < BLOCK_P * BLOCK_C) {
        x_block[entry] = value;
      }
    }
    //#unroll
    for (var l = 0u; l < DY_LOADS; l++) {
      let entry = l * THREADS + local;
      let pixel = first + entry / BLOCK_K;
      let column = block_column + entry % BLOCK_K;
      let inside = pixel < last_pixel && column < u.out_channels;
      let value = select(vec4<f32>(0.0), dy[select(0u, pixel * u.out_channels + column, inside)], inside);
      if (entry < BLOCK_P * BLOCK_K) {
        dy_block[entry] = value;
      }
    }
    workgroupBarrier();
    //#unroll
    for (var p = 0u; p < BLOCK_P; p++) {
      var d: array<vec4<f32>, TILE_K>;
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        d[j] = dy_block[p * BLOCK_K + j * COLUMNS + my_column];
      }
      //#unroll
      for (var i = 0u; i < TILE_C; i++) {
        let v = x_block[p * BLOCK_C + i * ROWS + my_row];
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
