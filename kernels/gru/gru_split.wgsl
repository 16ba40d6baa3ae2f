// The reverse of gru_join.wgsl, for the gradients of two weights: input weights side by side, hidden weights stacked.
// Grid: one invocation a vec4 of either, folded over y.
struct Uniforms {
  rows: u32, // D
  columns: u32, // 3G / 4
  hidden_size: u32, // G * 3G / 4
  grid_row: u32, // invocations in x
}

//#texture
@group(0) @binding(0) var<storage, read> joined: array<vec4<f32>>; // [D, 2, 3G / 4]
//#texture
@group(0) @binding(1) var<storage, read> stacked: array<vec4<f32>>; // [2, G * 3G / 4]
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>; // [D, 3G / 4]
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>; // [D, 3G / 4]
@group(0) @binding(4) var<storage, read_write> first_hidden: array<vec4<f32>>; // [G, 3G / 4]
@group(0) @binding(5) var<storage, read_write> second_hidden: array<vec4<f32>>; // [G, 3G / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid_row + id.x;
  let row = i / u.columns;
  let source = row * u.columns + i; // (2 row) columns + (i - row columns)
  if (row < u.rows) {
    first[i] = joined[source];
    second[i] = joined[source + u.columns];
  }
  if (i < u.hidden_size) {
    first_hidden[i] = stacked[i];
    second_hidden[i] = stacked[u.hidden_size + i];
  }
}
