// y[i] = f(sum over p of parts[p, i] + bias[i mod N]), or y += that; in the order of p. One invocation: four elements of a
// row. Grid: folded over x and y.
//#include "activation.wgsl"
const ADD = false; // to what y holds
const BIAS = false;
const PRELU = false;

struct Uniforms {
  parts: u32, // P
  rows: u32, // batches M
  columns: u32, // N
  grid: u32, // invocations of a row of the grid
  alpha: f32, // slope of leakyrelu
}

//#texture
@group(0) @binding(0) var<storage, read> sums: array<f32>; // [P, batches, M, N]
@group(0) @binding(1) var<storage, read> bias: array<f32>; // [N]; unused without BIAS
@group(0) @binding(2) var<storage, read> prelu: array<f32>; // [N]; unused without PRELU
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [batches, M, N]
@group(0) @binding(4) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid + id.x;
  let width = (u.columns + 3u) / 4u;
  let row = i / width;
  let column = (i - row * width) * 4u;
  if (row < u.rows) {
    let at = row * u.columns + column;
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < u.parts; p++) {
      let at_p = p * u.rows * u.columns + at;
      sum += vec4<f32>(sums[at_p], sums[at_p + 1u], sums[at_p + 2u], sums[at_p + 3u]);
    }
    if (BIAS) {
      sum += vec4<f32>(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
    }
    var slope = vec4<f32>(u.alpha);
    if (PRELU) {
      slope = vec4<f32>(prelu[column], prelu[column + 1u], prelu[column + 2u], prelu[column + 3u]);
    }
    let result = activate(sum, slope);
    //#unroll
    for (var c = 0u; c < 4u; c++) {
      if (column + c < u.columns) {
        if (ADD) {
          y[at + c] += result[c];
        } else {
          y[at + c] = result[c];
        }
      }
    }
  }
}
