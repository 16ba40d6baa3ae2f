// Gradients of the biases: the sums over all steps and clips. The gates r and z have the same for both biases; that of n
// differs by the factor r. A workgroup has LANES times four columns of 3G: each of its SLICES slices adds its share of
// the rows in their order, then the first one adds the slices' sums. Grid: x = columns, y = directions.
const LANES = 8u;
const SLICES = 2u;

struct Uniforms {
  rows: u32, // B T
  first: u32, // row of this dispatch; later dispatches add to the sums
  last: u32, // exclusive
  units: u32, // G / 4
  directions: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> d_projected: array<vec4<f32>>; // [B T, directions, 3, G / 4]
//#texture
@group(0) @binding(1) var<storage, read> d_recurrent: array<vec4<f32>>; // [directions, T B, 3, G / 4]
@group(0) @binding(2) var<storage, read_write> d_input_bias: array<vec4<f32>>; // [3, G / 4] of direction 0
@group(0) @binding(3) var<storage, read_write> d_hidden_bias: array<vec4<f32>>; // [3, G / 4] of direction 0
@group(0) @binding(4) var<storage, read_write> d_input_bias_1: array<vec4<f32>>; // [3, G / 4] of direction 1, if it is there
@group(0) @binding(5) var<storage, read_write> d_hidden_bias_1: array<vec4<f32>>; // [3, G / 4] of direction 1, if it is there
@group(0) @binding(6) var<uniform> u: Uniforms;

var<workgroup> input_sums: array<vec4<f32>, LANES * SLICES>; // [SLICES, LANES]
var<workgroup> hidden_sums: array<vec4<f32>, LANES * SLICES>; // [SLICES, LANES]

@compute @workgroup_size(LANES, SLICES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let columns = 3u * u.units;
  let own = group.x * LANES + local.x;
  let column = min(own, columns - 1u);
  let direction = group.y;
  let share = (u.last - u.first + SLICES - 1u) / SLICES;
  let first = u.first + local.y * share;
  let last = min(u.last, first + share);
  var sum = vec4<f32>(0.0);
  var at = (first * u.directions + direction) * columns + column;
  for (var row = first; row < last; row++) {
    sum += d_projected[at];
    at += u.directions * columns;
  }
  var hidden = sum;
  if (column >= 2u * u.units) {
    hidden = vec4<f32>(0.0);
    at = (direction * u.rows + first) * columns + column;
    for (var row = first; row < last; row++) {
      hidden += d_recurrent[at];
      at += columns;
    }
  }
  input_sums[index] = sum;
  hidden_sums[index] = hidden;
  workgroupBarrier();
  if (local.y > 0u || own >= columns) {
    return;
  }
  for (var slice = 1u; slice < SLICES; slice++) {
    sum += input_sums[slice * LANES + local.x];
    hidden += hidden_sums[slice * LANES + local.x];
  }
  if (direction == 0u) {
    if (u.first > 0u) {
      sum += d_input_bias[own];
      hidden += d_hidden_bias[own];
    }
    d_input_bias[own] = sum;
    d_hidden_bias[own] = hidden;
  } else {
    if (u.first > 0u) {
      sum += d_input_bias_1[own];
      hidden += d_hidden_bias_1[own];
    }
    d_input_bias_1[own] = sum;
    d_hidden_bias_1[own] = hidden;
  }
}
