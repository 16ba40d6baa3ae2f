// g[batch, panel, row, j] = x[batch, row, column = 4 (panel width + j) .. + 3], 0 beyond the end: an operand in panels of
// `width` vec4s, or padded (one panel), or transposed by its strides. One invocation: one vec4. Grid: x, folded into y.
struct Uniforms {
  count: u32, // vec4s of g
  grid: u32, // invocations of a row of the grid
  panels: u32,
  rows_out: u32,
  width: u32, // vec4s of a panel
  rows: u32, // of x
  columns: u32,
  batch: u32, // elements from one batch, row, column of x to the next
  row: u32,
  column: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [batches, rows, columns], in any order
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // [batches, panels, rows_out, width]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid + id.x;
  if (i < u.count) {
    let line = i / u.width;
    let panel = line / u.rows_out;
    let row = line - panel * u.rows_out;
    let batch = panel / u.panels;
    let first = 4u * ((panel - batch * u.panels) * u.width + i - line * u.width);
    let start = batch * u.batch + row * u.row;
    var v = vec4<f32>(0.0);
    //#unroll
    for (var c = 0u; c < 4u; c++) {
      if (row < u.rows && first + c < u.columns) {
        v[c] = x[start + (first + c) * u.column];
      }
    }
    g[i] = v;
  }
}
