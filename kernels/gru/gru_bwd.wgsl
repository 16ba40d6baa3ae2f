// Steps back through time of a GRU layer, all units of all clips, both directions:
//   dh = dy + (dr, dz, r dn)' U^T + z' dh' (of the step after),
//   dn = dh (1 - z) (1 - n^2), dz = dh (h - n) z (1 - z), dr = dn (U_n h + b_hn) r (1 - r), before the nonlinearities.
// dW, dx, dU and the biases' gradients follow for all steps at once from d_projected and d_recurrent.
//
// For software adapters: workgroups, lanes, FUSED and grid are as in gru_fwd.wgsl. One invocation sums TILE_M clips times
// TILE_U vec4s of units; each lane loads a part of the gradient. gru_bwd_tile.wgsl is for GPUs.
//
// Measured on lavapipe 22.3.6, two cores. G 768, B 96, GFLOP/s: TILE_M 16 with TILE_U 2 38, with 3 39, with 1 34, 8 with 2
// 31; units first in the grid 21; the gradient read from storage by every lane 12. G 64, B 8: fused 27 us a step, apart 83.
//#include "gru_bwd_finish.wgsl"

const TILE_M = 16u;
const TILE_U = 1u;
const LANES = 8u;
const SPAN = 1u; // subgroups of a workgroup, side by side over the units
const FUSED = false; // several steps a dispatch; then SPAN subgroups must cover all units
const LOADS = (TILE_M + LANES - 1u) / LANES; // of the gradient, a lane and round

@compute @workgroup_size(LANES * SPAN)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_unit = (group.y * SPAN * LANES + index) * TILE_U;
  let first_clip = group.x * TILE_M;
  let direction = group.z;
  var unit_row: array<u32, TILE_U>; // first of a unit's four rows of U
  //#unroll
  for (var j = 0u; j < TILE_U; j++) {
    unit_row[j] = 12u * (direction * u.units + min(first_unit + j, u.units - 1u)) * u.units;
  }
  let steps = u.steps + (group.z >> 16u); // + 0, as in gru_fwd.wgsl
  for (var passed = 0u; passed < steps; passed++) {
    let after = u.after - passed;
    let length = gradient_length(after);
    var row: array<u32, LOADS>; // the gradients that this lane loads
    //#unroll
    for (var l = 0u; l < LOADS; l++) {
      row[l] = gradient_at(after, direction, min(first_clip + l * LANES + lane, u.clips - 1u));
    }
    var acc = array<vec4<f32>, TILE_M * TILE_U>(); // [TILE_M, TILE_U]
    var w: array<vec4<f32>, 4u * TILE_U>; // [TILE_U, 4]
    var part: array<vec4<f32>, LOADS>;
    for (var k = 0u; k < length; k++) {
      //#unroll
      for (var j = 0u; j < TILE_U; j++) {
        let w0 = hidden_weight[unit_row[j] + k];
        let w1 = hidden_weight[unit_row[j] + length + k];
        let w2 = hidden_weight[unit_row[j] + 2u * length + k];
        let w3 = hidden_weight[unit_row[j] + 3u * length + k];
        w[4u * j] = vec4<f32>(w0.x, w1.x, w2.x, w3.x);
        w[4u * j + 1u] = vec4<f32>(w0.y, w1.y, w2.y, w3.y);
        w[4u * j + 2u] = vec4<f32>(w0.z, w1.z, w2.z, w3.z);
        w[4u * j + 3u] = vec4<f32>(w0.w, w1.w, w2.w, w3.w);
      }
      //#unroll
      for (var l = 0u; l < LOADS; l++) {
        part[l] = d_recurrent[row[l] + k];
      }
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let d = subgroupBroadcast(part[i / LANES], i % LANES);
        //#unroll
        for (var j = 0u; j < TILE_U; j++) {
          var sum = acc[i * TILE_U + j];
          sum = fma(vec4<f32>(d.x), w[4u * j], sum);
          sum = fma(vec4<f32>(d.y), w[4u * j + 1u], sum);
          sum = fma(vec4<f32>(d.z), w[4u * j + 2u], sum);
          acc[i * TILE_U + j] = fma(vec4<f32>(d.w), w[4u * j + 3u], sum);
        }
      }
    }
    let count = TILE_U * min(TILE_M, u.clips - first_clip);
    for (var e = 0u; e < count; e++) { // rolled, the sums moving up
      let unit = first_unit + e % TILE_U;
      if (unit < u.units) {
        finish(after, direction, first_clip + e / TILE_U, unit, acc[0]);
      }
      //#unroll
      for (var i = 1u; i < TILE_M * TILE_U; i++) {
        acc[i - 1u] = acc[i];
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
