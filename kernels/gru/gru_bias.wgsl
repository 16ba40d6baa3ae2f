// Gradients of one direction's biases: the sums over all steps and clips, in the order of the rows. The gates r and z have
// the same for both biases; that of n differs by the factor r. Grid: one invocation four columns of 3G.
const LANES = 8u;

struct Uniforms {
  rows: u32, // B T
  first: u32, // row of this dispatch; later dispatches add to the sums
  last: u32, // exclusive
  units: u32, // G / 4
  directions: u32,
  direction: u32, // of this dispatch
}

@group(0) @binding(0) var<storage, read> d_projected: array<vec4<f32>>; // [B T, directions, 3, G / 4]
@group(0) @binding(1) var<storage, read> d_recurrent: array<vec4<f32>>; // [directions, T B, 3, G / 4]
@group(0) @binding(2) var<storage, read_write> d_input_bias: array<vec4<f32>>; // [3, G / 4]
@group(0) @binding(3) var<storage, read_write> d_hidden_bias: array<vec4<f32>>; // [3, G / 4]
@group(0) @binding(4) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let columns = 3u * u.units;
  let column = min(id.x, columns - 1u);
  var sum = vec4<f32>(0.0);
  var at = (u.first * u.directions + u.direction) * columns + column;
  let last = u.last + (id.y >> 16u); // + 0, as in gru_fwd.wgsl
  for (var row = u.first; row < last; row++) {
    sum += d_projected[at];
    at += u.directions * columns;
  }
  var hidden = sum;
  if (column >= 2u * u.units) {
    hidden = vec4<f32>(0.0);
    at = (u.direction * u.rows + u.first) * columns + column;
    for (var row = u.first; row < last; row++) {
      hidden += d_recurrent[at];
      at += columns;
    }
  }
  if (id.x < columns && u.first > 0u) {
    d_input_bias[id.x] += sum;
    d_hidden_bias[id.x] += hidden;
  } else if (id.x < columns) {
    d_input_bias[id.x] = sum;
    d_hidden_bias[id.x] = hidden;
  }
}
