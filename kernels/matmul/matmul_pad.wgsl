// g[batch, row, column] = x[batch, row, column], 0 beyond the end. One invocation: one vec4. Grid: x, folded into y.
struct Uniforms {
  count: u32, // vec4s of g
  grid: u32, // invocations of a row of the grid
  rows_out: u32,
  width: u32, // vec4s of a row of g
  rows: u32, // of x
  columns: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<f32>; // [batches, rows, columns]
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // [batches, rows_out, width]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid + id.x;
  if (i < u.count) {
    let line = i / u.width;
    let batch = line / u.rows_out;
    let row = line - batch * u.rows_out;
    let column = 4u * (i - line * u.width);
    let start = (batch * u.rows + row) * u.columns + column;
    var v = vec4<f32>(0.0);
    //#unroll
    for (var c = 0u; c < 4u; c++) {
      if (row < u.rows && column + c < u.columns) {
        v[c] = x[start + c];
      }
    }
    g[i] = v;
  }
}
