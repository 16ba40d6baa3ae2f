// One step back through time of a GRU layer, all units of all clips, both directions:
//   dh = dy + (dr, dz, r dn)' U^T + z' dh' (of the step after),
//   dn = dh (1 - z) (1 - n^2), dz = dh (h - n) z (1 - z), dr = dn (U_n h + b_hn) r (1 - r), before the nonlinearities.
// dW, dx, dU and the biases' gradients follow for all steps at once from d_projected and d_recurrent.
//
// For software adapters. One invocation sums TILE_M clips times TILE_U vec4s of units in registers and ends the step
// for them. Grid: x = units, y = clips, z = directions. No workgroup memory, no barrier, no early return.
// gru_bwd_tile.wgsl is for GPUs.
//#include "gru_bwd_finish.wgsl"

const TILE_M = 16u;
const TILE_U = 1u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let first_unit = id.x * TILE_U;
  let first_clip = group.y * TILE_M;
  let direction = group.z;
  let length = gradient_length();
  var acc: array<vec4<f32>, TILE_M * TILE_U>; // [TILE_M, TILE_U]
  var row: array<u32, TILE_M>;
  //#unroll
  for (var i = 0u; i < TILE_M; i++) {
    row[i] = gradient_at(direction, min(first_clip + i, u.clips - 1u));
  }
  var unit: array<u32, TILE_U>; // first of its four rows of U
  //#unroll
  for (var j = 0u; j < TILE_U; j++) {
    unit[j] = 12u * (direction * u.units + min(first_unit + j, u.units - 1u)) * u.units;
  }
  var w: array<vec4<f32>, 4u * TILE_U>; // [TILE_U, 4]
  for (var k = 0u; k < length; k++) {
    //#unroll
    for (var j = 0u; j < TILE_U; j++) {
      let w0 = hidden_weight[unit[j] + k];
      let w1 = hidden_weight[unit[j] + length + k];
      let w2 = hidden_weight[unit[j] + 2u * length + k];
      let w3 = hidden_weight[unit[j] + 3u * length + k];
      w[4u * j] = vec4<f32>(w0.x, w1.x, w2.x, w3.x);
      w[4u * j + 1u] = vec4<f32>(w0.y, w1.y, w2.y, w3.y);
      w[4u * j + 2u] = vec4<f32>(w0.z, w1.z, w2.z, w3.z);
      w[4u * j + 3u] = vec4<f32>(w0.w, w1.w, w2.w, w3.w);
    }
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let d = d_recurrent[row[i] + k];
      //#unroll
      for (var j = 0u; j < TILE_U; j++) {
        acc[i * TILE_U + j] = fma(vec4<f32>(d.x), w[4u * j], acc[i * TILE_U + j]);
        acc[i * TILE_U + j] = fma(vec4<f32>(d.y), w[4u * j + 1u], acc[i * TILE_U + j]);
        acc[i * TILE_U + j] = fma(vec4<f32>(d.z), w[4u * j + 2u], acc[i * TILE_U + j]);
        acc[i * TILE_U + j] = fma(vec4<f32>(d.w), w[4u * j + 3u], acc[i * TILE_U + j]);
      }
    }
  }
  for (var e = 0u; e < TILE_M * TILE_U; e++) { // rolled, the sums moving up, as in gru_fwd.wgsl
    let clip = first_clip + e / TILE_U;
    let unit = first_unit + e % TILE_U;
    if (clip < u.clips && unit < u.units) {
      finish(direction, clip, unit, acc[0]);
    }
    //#unroll
    for (var i = 1u; i < TILE_M * TILE_U; i++) {
      acc[i - 1u] = acc[i];
    }
  }
}
