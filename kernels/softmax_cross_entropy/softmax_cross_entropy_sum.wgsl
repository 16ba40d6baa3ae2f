// loss = sum over m of losses[m]: each of 64 invocations adds every 64th, then a tree (rows.wgsl, one row). One workgroup.
//#include "rows.wgsl"

struct Uniforms {
  rows: u32, // M
}

@group(0) @binding(0) var<storage, read> losses: array<f32>; // [M]
@group(0) @binding(1) var<storage, read_write> loss: array<f32>; // [1]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(ROW_LANES * ROWS)
fn main(@builtin(local_invocation_index) local: u32) {
  var total = 0.0;
  for (var m = local; m < u.rows; m += ROW_LANES * ROWS) {
    total += losses[m];
  }
  let sum = group_sum(vec2<f32>(total), local).x;
  if (local == 0u) {
    loss[0] = sum;
  }
}
