// da[n] = sum over m of a[m, n], db[n] = sum over m of b[m, n]: the gradients of both biases of an attention layer.
//
// A workgroup sums 8 vec4s of columns, of a then of b; each of its 8 slices adds an eighth of the rows, then the first
// one adds the 8 partial sums in order. Grid: x = vec4s of columns / 8.
const SLICES = 8u;

struct Uniforms {
  rows: u32, // M
  columns_a: u32, // in vec4s
  columns_b: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [M, columns_a]
//#texture
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [M, columns_b]
@group(0) @binding(2) var<storage, read_write> da: array<vec4<f32>>; // [columns_a]
@group(0) @binding(3) var<storage, read_write> db: array<vec4<f32>>; // [columns_b]
@group(0) @binding(4) var<uniform> u: Uniforms;

var<workgroup> partial: array<vec4<f32>, 8u * SLICES>;

@compute @workgroup_size(8, SLICES)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  let in_a = column < u.columns_a;
  let in_b = !in_a && column - u.columns_a < u.columns_b;
  let slice_rows = (u.rows + SLICES - 1u) / SLICES;
  let first = local.y * slice_rows;
  let end = min(u.rows, first + slice_rows);
  var sum: vec4<f32>;
  if (in_a) {
    for (var m = first; m < end; m++) {
      sum += a[m * u.columns_a + column];
    }
  } else if (in_b) {
    for (var m = first; m < end; m++) {
      sum += b[m * u.columns_b + column - u.columns_a];
    }
  }
  partial[local.y * 8u + local.x] = sum;
  workgroupBarrier();
  if (local.y == 0u) {
    //#unroll
    for (var slice = 1u; slice < SLICES; slice++) {
      sum += partial[slice * 8u + local.x];
    }
    if (in_a) {
      da[column] = sum;
    } else if (in_b) {
      db[column - u.columns_a] = sum;
    }
  }
}
