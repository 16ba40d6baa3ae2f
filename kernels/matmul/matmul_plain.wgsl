// y[b, m, n] = f(sum over k of a[b, m, k] c[b, k, n] + bias[n]), or y += that; any strides, any sizes.
//
// The plain version, kept as the measure of the others and for shapes that they don't take. One invocation computes
// TILE_M rows times four columns in registers. Grid: x, folded into y = tiles, of a column
// first; z = batches.
//#include "activation.wgsl"
const TILE_M = 4u;
const ADD = false; // to what y holds
const BIAS = false;
const PRELU = false;

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

@group(0) @binding(0) var<storage, read> a: array<f32>; // [.., M, K] or [.., K, M]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [.., K, N] or [.., N, K]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [N]; unused without BIAS
@group(0) @binding(3) var<storage, read> prelu: array<f32>; // [N]; unused without PRELU
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [batches, M, N]
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
  var add = vec4<f32>(0.0);
  if (BIAS) {
    add = vec4<f32>(bias[column.x], bias[column.y], bias[column.z], bias[column.w]);
  }
  var slope = vec4<f32>(u.alpha);
  if (PRELU) {
    slope = vec4<f32>(prelu[column.x], prelu[column.y], prelu[column.z], prelu[column.w]);
  }
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    let result = activate(acc[i] + add, slope);
    let at = (batch * u.rows + first_row + i) * u.columns + first_column;
    //#unroll
    for (var j = 0u; j < 4u; j++) {
      if (first_row + i < u.rows && first_column + j < u.columns) {
        if (ADD) {
          y[at + j] += result[j];
        } else {
          y[at + j] = result[j];
        }
      }
    }
  }
}
