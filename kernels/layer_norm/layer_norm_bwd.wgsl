// g = dy gamma, xhat = (x - mean) inverse; dx = inverse (g - mean over d of g - xhat mean over d of g xhat);
// dgamma = sum over m of dy xhat, dbeta = sum over m of dy, here over the rows of a chunk. Where FORKED, x went another
// way too: `more`, the gradient from there, is added to dx.
//
// The first `row_groups` workgroups make dx, ROWS rows each (rows.wgsl); in the others an invocation sums one element
// of d over one chunk. Neither needs the other, so they share a dispatch; with one chunk it is the whole gradient.
// Grid: x, y = workgroups.
//
// Measured on lavapipe 22.3.6: two chunks with their sum take 1.4 times as long as one chunk at [288, 96], so there a
// chunk has 512 rows; 16 instead of 8 rows of a workgroup make no difference.
//#include "elements.wgsl"
//#include "rows.wgsl"
const FORKED = false;

struct Uniforms {
  rows: u32, // M
  columns: u32, // D, in elements
  chunks: u32, // P
  chunk_rows: u32, // rows of a chunk; the last may have fewer
  row_groups: u32,
  grid: u32, // workgroups in a row of the grid
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, D]
//#texture
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [M, D]
@group(0) @binding(2) var<storage, read> gamma: array<Element>; // [D]
@group(0) @binding(3) var<storage, read> saved: array<vec2<f32>>; // [M] mean, inverse deviation
//#texture
@group(0) @binding(4) var<storage, read> more: array<Element>; // [M, D]; dy itself where it is not forked
@group(0) @binding(5) var<storage, read_write> dx: array<Element>; // [M, D]
@group(0) @binding(6) var<storage, read_write> dgamma: array<Element>; // [P, D]
@group(0) @binding(7) var<storage, read_write> dbeta: array<Element>; // [P, D]
@group(0) @binding(8) var<uniform> u: Uniforms;

fn row_gradient(group: u32, local: u32) {
  let lane = local % ROW_LANES;
  let row = group * ROWS + local / ROW_LANES;
  let m = min(row, u.rows - 1u); // a surplus row repeats the last one
  let first = m * u.columns;
  let mean = saved[m].x;
  let inverse = saved[m].y;
  var sum = Element(0.0);
  var products = Element(0.0);
  for (var i = lane; i < u.columns; i += ROW_LANES) {
    let g = dy[first + i] * gamma[i];
    sum += g;
    products = fma(g, (x[first + i] - mean) * inverse, products);
  }
  let sums = row_sum(vec2<f32>(element_sum(sum), element_sum(products)), local);
  let means = sums / f32(u.columns * ELEMENT_WIDTH);
  if (row < u.rows) {
    for (var i = lane; i < u.columns; i += ROW_LANES) {
      let xhat = (x[first + i] - mean) * inverse;
      var d = inverse * (dy[first + i] * gamma[i] - means.x - xhat * means.y);
      if (FORKED) {
        d += more[first + i];
      }
      dx[first + i] = d;
    }
  }
}

fn column_sums(index: u32) {
  let chunk = index / u.columns;
  let i = index - chunk * u.columns;
  if (chunk < u.chunks) {
    var sum = Element(0.0);
    var products = Element(0.0);
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    for (var m = chunk * u.chunk_rows; m < last; m++) {
      let d = dy[m * u.columns + i];
      sum += d;
      products = fma(d, (x[m * u.columns + i] - saved[m].x) * saved[m].y, products);
    }
    dgamma[index] = products;
    dbeta[index] = sum;
  }
}

@compute @workgroup_size(ROW_LANES * ROWS)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3<u32>) {
  let group = id.y * u.grid + id.x;
  if (group < u.row_groups) {
    row_gradient(group, local);
  } else {
    column_sums((group - u.row_groups) * ROW_LANES * ROWS + local);
  }
}
