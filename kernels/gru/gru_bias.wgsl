// Gradients of the biases: the sums over all steps and clips, in the order of the rows. The gates r and z have the same for
// both biases; that of n differs by the factor r. Grid: x = one invocation four columns of 3G, y = directions.
const LANES = 8u;

struct Uniforms {
  rows: u32, // B T
  first: u32, // row of this dispatch; later dispatches add to the sums
  last: u32, // exclusive
  units: u32, // G / 4
  directions: u32,
}

@group(0) @binding(0) var<storage, read> d_projected: array<vec4<f32>>; // [B T, directions, 3, G / 4]
@group(0) @binding(1) var<storage, read> d_recurrent: array<vec4<f32>>; // [directions, T B, 3, G / 4]
@group(0) @binding(2) var<storage, read_write> d_input_bias: array<vec4<f32>>; // [3, G / 4] of direction 0
@group(0) @binding(3) var<storage, read_write> d_hidden_bias: array<vec4<f32>>; // [3, G / 4] of direction 0
@group(0) @binding(4) var<storage, read_write> d_input_bias_1: array<vec4<f32>>; // [3, G / 4] of direction 1, if it is there
@group(0) @binding(5) var<storage, read_write> d_hidden_bias_1: array<vec4<f32>>; // [3, G / 4] of direction 1, if it is there
@group(0) @binding(6) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let columns = 3u * u.units;
  let column = min(id.x, columns - 1u);
  let direction = id.y;
  var sum = vec4<f32>(0.0);
  var at = (u.first * u.directions + direction) * columns + column;
  let last = u.last + (id.z >> 16u); // + 0, as in gru_fwd.wgsl
  for (var row = u.first; row < last; row++) {
    sum += d_projected[at];
    at += u.directions * columns;
  }
  var hidden = sum;
  if (column >= 2u * u.units) {
    hidden = vec4<f32>(0.0);
    at = (direction * u.rows + u.first) * columns + column;
    for (var row = u.first; row < last; row++) {
      hidden += d_recurrent[at];
      at += columns;
    }
  }
  if (id.x < columns && direction == 0u) {
    if (u.first > 0u) {
      sum += d_input_bias[id.x];
      hidden += d_hidden_bias[id.x];
    }
    d_input_bias[id.x] = sum;
    d_hidden_bias[id.x] = hidden;
  } else if (id.x < columns) {
    if (u.first > 0u) {
      sum += d_input_bias_1[id.x];
      hidden += d_hidden_bias_1[id.x];
    }
    d_input_bias_1[id.x] = sum;
    d_hidden_bias_1[id.x] = hidden;
  }
}
