// y[b, m, n] = f(sum over k of a[b, m, k] c[b, k, n] + bias[n]), or y += that; or the sums over one of `parts` ranges of
// k, which matmul_sum.wgsl adds. K, and M or N where it lies last in an operand, are multiples of 4 (pad.ts). For GPUs.
//
// A workgroup computes BLOCK_M rows times BLOCK_N vec4s of columns, BLOCK_K vec4s of k a round through workgroup memory;
// while it computes a round, the next one's values are on their way to registers. One invocation sums TILE_M rows by TILE_N
// vec4s in registers. Workgroup memory has the invocation as its last index and constants before it: an access is one
// address and an immediate offset, nothing to clamp, and neighbours read neighbours. Grid: x, folded into y = blocks, of a
// row first; z = (part, batch).
//
// Measured on an NVIDIA H200 at its clock, 61.4 TFLOP/s of fused multiply-adds measured, in TFLOP/s: [2048, 2048] x [2048,
// 2048] 33.9 by blocks of 128 x 128 and tiles of 16 x 8, 29.4 by 64 x 64 and 4 x 8; [864, 768] x [768, 2304] 29.1 by 64 x
// 128 and 8 x 8; [864, 2048] x [2048, 768] 26.4 by the same with k in 4 parts, 9.1 in one. 16 k a round instead of 8: 1.2
// times as fast. Dead ends: both halves of twice the memory in turns, with one barrier a round and the loop over a round's
// k left a loop for the instruction cache, 0.67 to 0.92 as fast (unrolled by 2, 1.06 to 1.16 times that).
// The gaps make [864, 768] x [3072, 768]^T 1.24 times as fast, others 0.99 to 1.04.
//#include "paired.wgsl"
//#include "matmul_store.wgsl"
const BLOCK_M = 64u;
const BLOCK_N = 16u;
const BLOCK_K = 2u;
const TILE_M = 8u;
const TILE_N = 2u;
const A_INNER = true; // a is [M, K], else [K, M]
const B_INNER = false; // b is [N, K], else [K, N]
const ROWS = BLOCK_M / TILE_M; // of invocations
const COLUMNS = BLOCK_N / TILE_N;
const GROUP = ROWS * COLUMNS;
const A_VALUES = BLOCK_M * BLOCK_K; // vec4s a round
const B_VALUES = 4u * BLOCK_K * BLOCK_N;
const A_LOADS = (A_VALUES + GROUP - 1u) / GROUP; // an invocation and round
const B_LOADS = (B_VALUES + GROUP - 1u) / GROUP;

struct Uniforms {
  rows: u32, // M
  columns: u32, // N
  a_batches: u32, // batch i of y takes batch i mod this of a
  a_batch: u32, // vec4s from one batch to the next
  a_stride: u32, // vec4s of a row of a
  b_batches: u32,
  b_batch: u32,
  b_stride: u32,
  batches: u32,
  first: u32, // of this dispatch, in (part, batch)
  part: u32, // vec4s of k of a part
  inner: u32, // vec4s of k
  alpha: f32, // slope of leakyrelu
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [.., M, K / 4] or [.., K, M / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [.., K, N / 4] or [.., N, K / 4]
@group(0) @binding(5) var<uniform> u: Uniforms;

// [k, row, my_row], vec4s of k, where k lies last in a; else [k, vec4 of rows, my_row].
const A_DEPTH = select(4u * BLOCK_K, BLOCK_K, A_INNER);
const A_ACROSS = select(TILE_M / 4u, TILE_M, A_INNER);
// Where k lies last neighbours store vec4s of k of one row: gaps let them fall into different banks of memory, of which
// there are 8 by vec4s.
struct ASlab {
  at: array<array<vec4<f32>, ROWS>, A_ACROSS>,
  gap: array<vec4<f32>, max(1u, 8u / BLOCK_K)>,
}
var<workgroup> a_block: array<ASlab, A_DEPTH>;
// [k, column, my_column], vec4s of k, where k lies last in b; else [k, vec4 of columns, my_column].
const B_DEPTH = select(4u * BLOCK_K, BLOCK_K, B_INNER);
const B_ACROSS = select(TILE_N, 4u * TILE_N, B_INNER);
const B_ROW = COLUMNS + select(0u, 1u, B_INNER);
struct BSlab {
  at: array<array<vec4<f32>, B_ROW>, B_ACROSS>,
  gap: array<vec4<f32>, 8u + 8u / BLOCK_K - B_ACROSS * B_ROW % 8u>,
}
var<workgroup> b_block: array<BSlab, B_DEPTH>;

// value i of the round that begins at k; 0 beyond the part
fn load_a(at: u32, i: u32, k: u32, end: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), a[at], k + select(i / BLOCK_M, i % BLOCK_K, A_INNER) < end);
}

fn load_b(at: u32, i: u32, k: u32, end: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), b[at], k + select(i / (4u * BLOCK_N), i % BLOCK_K, B_INNER) < end);
}

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let slice = u.first + group.z;
  let part = slice / u.batches;
  let batch = slice - part * u.batches;
  let across = (u.columns + 4u * BLOCK_N - 1u) / (4u * BLOCK_N);
  let block = group.y * groups.x + group.x;
  let first_row = block / across * BLOCK_M;
  let first_column = block % across * BLOCK_N; // vec4
  let my_row = paired_row(local, ROWS, COLUMNS);
  let my_column = paired_column(local, ROWS, COLUMNS);
  let start = part * u.part;
  let end = min(u.inner, start + u.part) + (group.z >> 16u); // + 0: see matmul_subgroup.wgsl
  var acc: array<vec4<f32>, TILE_M * TILE_N>;
  var next_a: array<vec4<f32>, A_LOADS>; // of the coming round
  var next_b: array<vec4<f32>, B_LOADS>;
  var at_a: array<u32, A_LOADS>;
  var at_b: array<u32, B_LOADS>;
  let a_base = (batch % u.a_batches) * u.a_batch;
  let b_base = (batch % u.b_batches) * u.b_batch;
  //#unroll
  for (var l = 0u; l < A_LOADS; l++) {
    let i = l * GROUP + local;
    if (A_INNER) {
      at_a[l] = a_base + min(first_row + i / BLOCK_K, u.rows - 1u) * u.a_stride + start + i % BLOCK_K;
    } else {
      at_a[l] = a_base + (4u * start + i / (BLOCK_M / 4u)) * u.a_stride + min(first_row / 4u + i % (BLOCK_M / 4u), u.a_stride - 1u);
    }
  }
  //#unroll
  for (var l = 0u; l < B_LOADS; l++) {
    let i = l * GROUP + local;
    if (B_INNER) {
      at_b[l] = b_base + min(4u * first_column + i / BLOCK_K, u.columns - 1u) * u.b_stride + start + i % BLOCK_K;
    } else {
      at_b[l] = b_base + (4u * start + i / BLOCK_N) * u.b_stride + min(first_column + i % BLOCK_N, u.b_stride - 1u);
    }
  }

  let a_step = select(4u * u.a_stride, 1u, A_INNER) * BLOCK_K; // from round to round
  let b_step = select(4u * u.b_stride, 1u, B_INNER) * BLOCK_K;
  // Round i loads for the next one, which is why there is one more.
  for (var k = start; k < end + BLOCK_K; k += BLOCK_K) {
    if (k > start) {
      //#unroll
      for (var l = 0u; l < A_LOADS; l++) {
        let i = l * GROUP + local;
        if (A_LOADS * GROUP == A_VALUES || i < A_VALUES) {
          if (A_INNER) {
            a_block[i % BLOCK_K].at[i / BLOCK_K / ROWS][i / BLOCK_K % ROWS] = next_a[l];
          } else {
            a_block[i / (BLOCK_M / 4u)].at[i % (BLOCK_M / 4u) / ROWS][i % ROWS] = next_a[l];
          }
        }
      }
      //#unroll
      for (var l = 0u; l < B_LOADS; l++) {
        let i = l * GROUP + local;
        if (B_LOADS * GROUP == B_VALUES || i < B_VALUES) {
          if (B_INNER) {
            let column = i / BLOCK_K;
            b_block[i % BLOCK_K].at[column / (4u * COLUMNS) * 4u + column % 4u][column / 4u % COLUMNS] = next_b[l];
          } else {
            b_block[i / BLOCK_N].at[i % BLOCK_N / COLUMNS][i % COLUMNS] = next_b[l];
          }
        }
      }
      workgroupBarrier();
    }
    if (k < end) {
      //#unroll
      for (var l = 0u; l < A_LOADS; l++) {
        next_a[l] = load_a(at_a[l], l * GROUP + local, k, end);
        at_a[l] += a_step;
      }
      //#unroll
      for (var l = 0u; l < B_LOADS; l++) {
        next_b[l] = load_b(at_b[l], l * GROUP + local, k, end);
        at_b[l] += b_step;
      }
    }
    if (k > start) {
      //#unroll
      for (var d = 0u; d < BLOCK_K; d++) {
        var f: array<vec4<f32>, 4u * TILE_N>; // [k, TILE_N]
        if (B_INNER) {
          //#unroll
          for (var j = 0u; j < TILE_N; j++) {
            //#unroll
            for (var c = 0u; c < 4u; c++) {
              let v = b_block[d].at[(4u * j + c) % B_ACROSS][my_column];
              f[j][c] = v.x;
              f[TILE_N + j][c] = v.y;
              f[2u * TILE_N + j][c] = v.z;
              f[3u * TILE_N + j][c] = v.w;
            }
          }
        } else {
          //#unroll
          for (var e = 0u; e < 4u * TILE_N; e++) {
            f[e] = b_block[(4u * d + e / TILE_N) % B_DEPTH].at[e % TILE_N][my_column];
          }
        }
        if (A_INNER) {
          //#unroll
          for (var i = 0u; i < TILE_M; i++) {
            let v = a_block[d].at[i % A_ACROSS][my_row];
            //#unroll
            for (var j = 0u; j < TILE_N; j++) {
              acc[i * TILE_N + j] = fma(vec4<f32>(v.x), f[j], acc[i * TILE_N + j]);
              acc[i * TILE_N + j] = fma(vec4<f32>(v.y), f[TILE_N + j], acc[i * TILE_N + j]);
              acc[i * TILE_N + j] = fma(vec4<f32>(v.z), f[2u * TILE_N + j], acc[i * TILE_N + j]);
              acc[i * TILE_N + j] = fma(vec4<f32>(v.w), f[3u * TILE_N + j], acc[i * TILE_N + j]);
            }
          }
        } else {
          //#unroll
          for (var q = 0u; q < 4u; q++) {
            //#unroll
            for (var i = 0u; i < TILE_M / 4u; i++) {
              let v = a_block[(4u * d + q) % A_DEPTH].at[i][my_row];
              //#unroll
              for (var c = 0u; c < 4u; c++) {
                //#unroll
                for (var j = 0u; j < TILE_N; j++) {
                  acc[(4u * i + c) * TILE_N + j] = fma(vec4<f32>(v[c]), f[q * TILE_N + j], acc[(4u * i + c) * TILE_N + j]);
                }
              }
            }
          }
        }
      }
      workgroupBarrier();
    }
  }
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let row = first_row + select((i / 4u * ROWS + my_row) * 4u + i % 4u, i * ROWS + my_row, A_INNER);
    //#unroll
    for (var j = 0u; j < TILE_N; j++) {
      let column = 4u * (first_column + j * COLUMNS + my_column);
      if (row < u.rows && column < u.columns) {
        store(acc[i * TILE_N + j], slice * u.rows + row, column, u.columns, u.alpha);
      }
    }
  }
}
