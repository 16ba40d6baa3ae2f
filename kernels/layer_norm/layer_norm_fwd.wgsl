// y[m, d] = (x[m, d] - mean[m]) / sqrt(variance[m] + epsilon) gamma[d] + beta[d]; mean and (biased) variance over d.
//
// Where RESIDUAL, what is normalised is sum[m, d] = x[m, d] + residual[m, d], which the next residual needs too.
// A workgroup: ROWS rows, ROW_LANES invocations each (rows.wgsl). The row is read three times, since the variance is that
// of the centred values. Grid: x, y = row groups. Saved: mean and inverse deviation.
//
// Measured on lavapipe 22.3.6, two cores, [72, 768] and [288, 96]: ROW_LANES 8 instead of 1 takes 0.95 and 1.5 times as
// long, 64 1.9 and 4.5 times. That workgroup memory is declared but not used costs nothing.
//#include "elements.wgsl"
//#include "rows.wgsl"
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M
  columns: u32, // D, in elements
  epsilon: f32,
  grid: u32, // workgroups in a row of the grid
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, D]
//#texture
@group(0) @binding(1) var<storage, read> residual: array<Element>; // [M, D]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<Element>; // [D]
@group(0) @binding(3) var<storage, read> beta: array<Element>; // [D]
@group(0) @binding(4) var<storage, read_write> y: array<Element>; // [M, D]
@group(0) @binding(5) var<storage, read_write> saved: array<vec2<f32>>; // [M] mean, inverse deviation
@group(0) @binding(6) var<storage, read_write> sum: array<Element>; // [M, D]; [1] where there is no residual
@group(0) @binding(7) var<uniform> u: Uniforms;

// What is normalised, as this invocation has written it.
fn value_at(at: u32) -> Element {
  if (RESIDUAL) {
    return sum[at];
  }
  return x[at];
}

@compute @workgroup_size(ROW_LANES * ROWS)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let row = (group.y * u.grid + group.x) * ROWS + local / ROW_LANES;
  let lane = local % ROW_LANES;
  let first = min(row, u.rows - 1u) * u.columns; // a surplus row repeats the last one
  let size = f32(u.columns * ELEMENT_WIDTH);
  var total = Element(0.0);
  for (var i = lane; i < u.columns; i += ROW_LANES) {
    var value = x[first + i];
    if (RESIDUAL) {
      value += residual[first + i];
      if (row < u.rows) {
        sum[first + i] = value;
      }
    }
    total += value;
  }
  let mean = row_sum(vec2<f32>(element_sum(total)), local).x / size;
  var squares = Element(0.0);
  for (var i = lane; i < u.columns; i += ROW_LANES) {
    let d = value_at(first + i) - mean;
    squares = fma(d, d, squares);
  }
  let variance = row_sum(vec2<f32>(element_sum(squares)), local).x / size;
  let inverse = inverseSqrt(variance + u.epsilon);
  if (row < u.rows) {
    for (var i = lane; i < u.columns; i += ROW_LANES) {
      y[first + i] = fma((value_at(first + i) - mean) * inverse, gamma[i], beta[i]);
    }
    if (lane == 0u) {
      saved[row] = vec2<f32>(mean, inverse);
    }
  }
}
