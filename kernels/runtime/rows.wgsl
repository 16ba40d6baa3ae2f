// How a workgroup divides rows, and sums over a row. To be included; rows.ts chooses the constants. One invocation a row
// on a software adapter, where a barrier costs; on a GPU as many as a row has elements.
const ROW_LANES = 1u; // invocations of a row, a power of 2
const ROWS = 8u; // rows of a workgroup

var<workgroup> row_scratch: array<vec2<f32>, ROW_LANES * ROWS>;

// The sum of v over the invocations of a row, in the order of a fixed tree. Every invocation of the workgroup must
// call it; each gets its row's sum. `local` is its index in the workgroup.
fn row_sum(v: vec2<f32>, local: u32) -> vec2<f32> {
  var sum = v;
  if (ROW_LANES > 1u) {
    row_scratch[local] = v;
    for (var half = ROW_LANES / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (local % ROW_LANES < half) {
        row_scratch[local] += row_scratch[local + half];
      }
    }
    workgroupBarrier();
    sum = row_scratch[local - local % ROW_LANES];
    workgroupBarrier(); // the next sum writes after all have read
  }
  return sum;
}

// The greatest v of a row, likewise. NaN may get lost (nan.wgsl): what is made of v itself must show it.
fn row_max(v: f32, local: u32) -> f32 {
  var greatest = v;
  if (ROW_LANES > 1u) {
    row_scratch[local].x = v;
    for (var half = ROW_LANES / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (local % ROW_LANES < half) {
        row_scratch[local].x = max(row_scratch[local].x, row_scratch[local + half].x);
      }
    }
    workgroupBarrier();
    greatest = row_scratch[local - local % ROW_LANES].x;
    workgroupBarrier();
  }
  return greatest;
}

// The sum of v over all invocations of the workgroup, likewise.
fn group_sum(v: vec2<f32>, local: u32) -> vec2<f32> {
  row_scratch[local] = v;
  var width = ROW_LANES * ROWS;
  while (width > 1u) {
    let kept = (width + 1u) / 2u;
    workgroupBarrier();
    if (local < width - kept) {
      row_scratch[local] += row_scratch[local + kept];
    }
    width = kept;
  }
  workgroupBarrier();
  let sum = row_scratch[0];
  workgroupBarrier();
  return sum;
}
