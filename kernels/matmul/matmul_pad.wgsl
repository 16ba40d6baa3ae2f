// g[batch, panel, row, column] = x[batch, row, 4 width panel + column], 0 beyond the end: a copy in panels of `width`
// vec4s of columns, each of which lies in one piece; or one panel. One invocation: one vec4. Grid: x, folded into y.
struct Uniforms {
  count: u32, // vec4s of g
  grid: u32, // invocations of a row of the grid
  panels: u32,
  rows_out: u32,
  width: u32, // vec4s of a panel's row
  rows: u32, // of x
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [batches, rows, columns]
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // [batches, panels, rows_out, width]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid + id.x;
  if (i < u.count) {
    let line = i / u.width;
    let panel = line / u.rows_out;
    let row = line - panel * u.rows_out;
    let batch = panel / u.panels;
    let column = 4u * ((panel - batch * u.panels) * u.width + i - line * u.width);
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
