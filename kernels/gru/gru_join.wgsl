// The weights of two directions side by side: joined[row, d, column] = (first, second)_d[row, column], and the biases
// one after the other. With one row the weights are stacked. Grid: one invocation a vec4 of the output, folded over y.
struct Uniforms {
  rows: u32,
  columns: u32, // in vec4s
  bias_columns: u32, // in vec4s
  grid_row: u32, // invocations in x
}

//#texture
@group(0) @binding(0) var<storage, read> first: array<vec4<f32>>; // [rows, columns]
//#texture
@group(0) @binding(1) var<storage, read> second: array<vec4<f32>>; // [rows, columns]
@group(0) @binding(2) var<storage, read> first_bias: array<vec4<f32>>; // [bias_columns]
@group(0) @binding(3) var<storage, read> second_bias: array<vec4<f32>>; // [bias_columns]
@group(0) @binding(4) var<storage, read_write> joined: array<vec4<f32>>; // [rows, 2, columns]
@group(0) @binding(5) var<storage, read_write> joined_bias: array<vec4<f32>>; // [2, bias_columns]
@group(0) @binding(6) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid_row + id.x;
  let pair = i / u.columns;
  let row = pair / 2u;
  let source = row * u.columns + i - pair * u.columns;
  if (row < u.rows) {
    if (pair == 2u * row) {
      joined[i] = first[source];
    } else {
      joined[i] = second[source];
    }
  }
  if (i < u.bias_columns) {
    joined_bias[i] = first_bias[i];
    joined_bias[u.bias_columns + i] = second_bias[i];
  }
}
