// y[b, m, n] = f(sum over k of a[b, m, k] c[b, k, n] + bias[n]), or y += that; or the sums over one of `parts` ranges of
// k, which matmul_sum.wgsl adds. Any strides, any sizes. For GPUs.
//
// A workgroup computes BLOCK_M x BLOCK_N of y: it loads BLOCK_K columns of a and rows of c at a time into workgroup memory,
// with neighbouring invocations along whatever is contiguous. An invocation sums TILE_M rows by TILE_N vec4s in registers;
// its vec4s lie BLOCK_N / TILE_N apart, so that neighbours read neighbouring banks. Grid: x, folded
// into y = blocks, of a row first; z = (part, batch).
//#include "activation.wgsl"
const BLOCK_M = 64u;
const BLOCK_N = 64u;
const BLOCK_K = 16u;
const TILE_M = 8u;
const TILE_N = 2u;
const A_INNER = true; // a is [M, K], else [K, M]
const B_INNER = false; // b is [N, K], else [K, N]
const ADD = false; // to what y holds
const BIAS = false;
const PRELU = false;
const ACROSS = BLOCK_N / (4u * TILE_N); // invocations along a row of the block
const GROUP = BLOCK_M / TILE_M * ACROSS;
const PITCH = BLOCK_M + 1u; // of a_block: writes along k go to different banks

struct Uniforms {
  rows: u32, // M
  columns: u32, // N
  inner: u32, // K
  a_batches: u32, // batch i of y takes batch i mod this of a
  a_batch: u32, // elements from one batch to the next
  a_row: u32,
  a_inner: u32,
  b_batches: u32,
  b_batch: u32,
  b_inner: u32,
  b_column: u32,
  batches: u32,
  first: u32, // of this dispatch, in (part, batch)
  part: u32, // k of a part
  alpha: f32, // slope of leakyrelu
}

@group(0) @binding(0) var<storage, read> a: array<f32>; // [.., M, K] or [.., K, M]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [.., K, N] or [.., N, K]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [N]; unused without BIAS
@group(0) @binding(3) var<storage, read> prelu: array<f32>; // [N]; unused without PRELU
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [parts, batches, M, N]
@group(0) @binding(5) var<uniform> u: Uniforms;

var<workgroup> a_block: array<f32, BLOCK_K * PITCH>; // [BLOCK_K, BLOCK_M]
var<workgroup> b_block: array<f32, BLOCK_K * BLOCK_N>; // [BLOCK_K, BLOCK_N]

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let slice = u.first + group.z;
  let part = slice / u.batches;
  let batch = slice - part * u.batches;
  let a_base = (batch % u.a_batches) * u.a_batch;
  let b_base = (batch % u.b_batches) * u.b_batch;
  let across = (u.columns + BLOCK_N - 1u) / BLOCK_N;
  let block = group.y * groups.x + group.x;
  let first_row = block / across * BLOCK_M;
  let first_column = block % across * BLOCK_N;
  let row = local / ACROSS * TILE_M; // in the block
  let column = local % ACROSS * 4u;
  let end = min(u.inner, (part + 1u) * u.part) + (group.z >> 16u); // + 0: see matmul_subgroup.wgsl
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var v: array<vec4<f32>, TILE_N>;

  for (var start = part * u.part; start < end; start += BLOCK_K) {
    for (var i = local; i < BLOCK_K * BLOCK_M; i += GROUP) {
      let k = select(i / BLOCK_M, i % BLOCK_K, A_INNER);
      let m = select(i % BLOCK_M, i / BLOCK_K, A_INNER);
      let inside = start + k < end && first_row + m < u.rows;
      let at = a_base + (first_row + m) * u.a_row + (start + k) * u.a_inner;
      a_block[k * PITCH + m] = select(0.0, a[at], inside);
    }
    for (var i = local; i < BLOCK_K * BLOCK_N; i += GROUP) {
      let k = select(i / BLOCK_N, i % BLOCK_K, B_INNER);
      let n = select(i % BLOCK_N, i / BLOCK_K, B_INNER);
      let inside = start + k < end && first_column + n < u.columns;
      let at = b_base + (first_column + n) * u.b_column + (start + k) * u.b_inner;
      b_block[k * BLOCK_N + n] = select(0.0, b[at], inside);
    }
    workgroupBarrier();
    //#unroll
    for (var k = 0u; k < BLOCK_K; k++) {
      //#unroll
      for (var j = 0u; j < TILE_N; j++) {
        let at = k * BLOCK_N + j * 4u * ACROSS + column;
        v[j] = vec4<f32>(b_block[at], b_block[at + 1u], b_block[at + 2u], b_block[at + 3u]);
      }
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let scalar = vec4<f32>(a_block[k * PITCH + row + i]);
        //#unroll
        for (var j = 0u; j < TILE_N; j++) {
          acc[i * TILE_N + j] = fma(scalar, v[j], acc[i * TILE_N + j]);
        }
      }
    }
    workgroupBarrier();
  }
  //#unroll
  for (var j = 0u; j < TILE_N; j++) {
    let n = first_column + j * 4u * ACROSS + column;
    var addend = vec4<f32>(0.0);
    if (BIAS) {
      addend = vec4<f32>(bias[n], bias[n + 1u], bias[n + 2u], bias[n + 3u]);
    }
    var slope = vec4<f32>(u.alpha);
    if (PRELU) {
      slope = vec4<f32>(prelu[n], prelu[n + 1u], prelu[n + 2u], prelu[n + 3u]);
    }
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let m = first_row + row + i;
      let result = activate(acc[i * TILE_N + j] + addend, slope);
      let at = (slice * u.rows + m) * u.columns + n;
      //#unroll
      for (var c = 0u; c < 4u; c++) {
        if (m < u.rows && n + c < u.columns) {
          if (ADD) {
            y[at + c] += result[c];
          } else {
            y[at + c] = result[c];
          }
        }
      }
    }
  }
}
