// dz = dy where y > 0 or NaN, else 0 (RELU), or dy as it is; db[p, n] = sum over the rows m of chunk p of dz[m, n], in a
// fixed order. pool/row_sums.wgsl adds the chunks, if there is more than one.
//
// A workgroup sums COLUMNS columns: each of its SLICES slices adds its share of the chunk's rows in their order, then the
// first one adds the slices' sums. Grid: x, folded into y = columns / COLUMNS; z = chunks.
//#include "nan.wgsl"
const COLUMNS = 8u;
const SLICES = 8u;
const RELU = false;

struct Uniforms {
  rows: u32, // M
  columns: u32, // K
  chunk_rows: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> dy: array<f32>; // [M, K]
//#texture
@group(0) @binding(1) var<storage, read> y: array<f32>; // [M, K]; unused without RELU
@group(0) @binding(2) var<storage, read_write> db: array<f32>; // [P, K]
@group(0) @binding(3) var<storage, read_write> dz: array<f32>; // [M, K]; [1] without RELU
@group(0) @binding(4) var<uniform> u: Uniforms;

var<workgroup> partial: array<f32, COLUMNS * SLICES>;

@compute @workgroup_size(COLUMNS, SLICES)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let column = (group.y * groups.x + group.x) * COLUMNS + local.x;
  var sum = 0.0;
  if (column < u.columns) {
    let first = group.z * u.chunk_rows;
    let share = (u.chunk_rows + SLICES - 1u) / SLICES;
    let end = min(min(u.rows, first + u.chunk_rows), first + (local.y + 1u) * share);
    for (var m = first + local.y * share; m < end; m++) {
      let at = m * u.columns + column;
      var v = dy[at];
      if (RELU) {
        v = relu_gradient4(vec4<f32>(v), vec4<f32>(y[at])).x;
        dz[at] = v;
      }
      sum += v;
    }
  }
  partial[local.y * COLUMNS + local.x] = sum;
  workgroupBarrier();
  if (local.y == 0u && column < u.columns) {
    for (var slice = 1u; slice < SLICES; slice++) {
      sum += partial[slice * COLUMNS + local.x];
    }
    db[group.z * u.columns + column] = sum;
  }
}
