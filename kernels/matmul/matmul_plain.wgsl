// y[b, m, n] = f(sum over k of a[b, m, k] c[b, k, n] + bias[n]), or y += that; any strides, any sizes.
//
// The plain version: the measure of the others, for shapes that they don't take, and for few k on a software adapter. One
// invocation computes TILE_M rows times four columns in registers. Grid: x, folded into y = tiles, of a column first; z =
// batches.
//
// Measured on lavapipe 22.3.6, two cores without AVX-512, by the clock: [288, 7] x [7, 96], b transposed, 0.37 ms, by
// matmul_subgroup.wgsl and two dispatches that pad 0.51. Rows of an invocation, invocations: 8, 8 and 8, 16 take 0.9 of 4,
// 8; 4, 32 the same; 2, 32 1.1.
//#include "matmul_store.wgsl"
const TILE_M = 8u;

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
  first_batch: u32, // of this dispatch
  alpha: f32, // slope of leakyrelu
}

//#texture
@group(0) @binding(0) var<storage, read> a: array<f32>; // [.., M, K] or [.., K, M]
//#texture
@group(0) @binding(1) var<storage, read> b: array<f32>; // [.., K, N] or [.., N, K]
@group(0) @binding(5) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let batch = u.first_batch + id.z;
  let tile = id.y * groups.x * 8u + id.x;
  let tiles = (u.rows + TILE_M - 1u) / TILE_M;
  let first_row = tile % tiles * TILE_M;
  let first_column = tile / tiles * 4u;
  let last = vec4<u32>(u.columns - 1u);
  let column = min(vec4<u32>(first_column) + vec4<u32>(0u, 1u, 2u, 3u), last);
  var at_b = vec4<u32>((batch % u.b_batches) * u.b_batch) + column * u.b_column;
  var at_a: array<u32, TILE_M>;
  var acc: array<vec4<f32>, TILE_M>;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    at_a[i] = (batch % u.a_batches) * u.a_batch + min(first_row + i, u.rows - 1u) * u.a_row;
  }
  // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values, at each dispatch
  let inner = u.inner + (id.z >> 16u);
  for (var k = 0u; k < inner; k++) {
    let v = vec4<f32>(b[at_b.x], b[at_b.y], b[at_b.z], b[at_b.w]);
    at_b += vec4<u32>(u.b_inner);
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      acc[i] = fma(vec4<f32>(a[at_a[i]]), v, acc[i]);
      at_a[i] += u.a_inner;
    }
  }
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    if (first_row + i < u.rows && first_column < u.columns) {
      store(acc[i], batch * u.rows + first_row + i, first_column, u.columns, u.alpha);
    }
  }
}
