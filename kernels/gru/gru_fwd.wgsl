// Steps of a GRU layer in PyTorch's form, all units of all clips, both directions:
//   r = sigmoid(W_r x + U_r h + b), z = sigmoid(W_z x + U_z h + b), n = tanh(W_n x + b_in + r (U_n h + b_hn)),
//   h' = (1 - z) n + z h.
// W x + b_in comes from one product per layer. Saved for backward: r, z, n, U_n h + b_hn, and h before each step.
//
// For software adapters: a workgroup is SPAN subgroups; its lanes divide the units and share the clips. One invocation sums
// TILE_M clips times TILE_U vec4s of units, all gates; each lane loads a part of h, subgroupBroadcast hands it round. With
// FUSED a workgroup owns all units of its clips and goes on to the next step behind a barrier. Grid: x = clips, y = units, z =
// directions; clips first, so that a slab of U stays in the cache. gru_fwd_tile.wgsl is for GPUs.
//
// Measured on lavapipe 22.3.6, two cores. G 768, B 96, GFLOP/s: TILE_M 24 27, 16 23, 16 with TILE_U 2 21, 8 with TILE_U 2 19;
// units first in the grid 10; h read from storage by every lane 7.5. G 64, B 8: fused 26 us a step, apart 74. Dead end: the
// end of the step unrolled for 16 clips takes 8 s to compile, rolled with the sums moving up 0.4 s.
//#include "gru_fwd_finish.wgsl"

const TILE_M = 16u;
const TILE_U = 1u;
const LANES = 8u;
const SPAN = 1u; // subgroups of a workgroup, side by side over the units
const FUSED = false; // several steps a dispatch; then SPAN subgroups must cover all units
const LOADS = (TILE_M + LANES - 1u) / LANES; // of h, a lane and round

@compute @workgroup_size(LANES * SPAN)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_unit = (group.y * SPAN * LANES + index) * TILE_U;
  let first_clip = group.x * TILE_M;
  let direction = group.z;
  var column: array<u32, TILE_U>;
  //#unroll
  for (var j = 0u; j < TILE_U; j++) {
    column[j] = min(first_unit + j, u.units - 1u);
  }
  // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values.
  let last = u.step + u.steps + (group.z >> 16u);
  for (var s = u.step; s < last; s++) {
    var row: array<u32, LOADS>; // the states that this lane loads
    //#unroll
    for (var l = 0u; l < LOADS; l++) {
      row[l] = state_at(s, direction, min(first_clip + l * LANES + lane, u.clips - 1u));
    }
    var acc = array<vec4<f32>, 3u * TILE_M * TILE_U>(); // [3, TILE_M, TILE_U]
    var w: array<vec4<f32>, 12u * TILE_U>; // [4, 3, TILE_U]
    var part: array<vec4<f32>, LOADS>;
    var entry = 12u * direction * u.units * u.units;
    let length = state_length(s);
    for (var k = 0u; k < length; k++) {
      //#unroll
      for (var i = 0u; i < 12u; i++) {
        //#unroll
        for (var j = 0u; j < TILE_U; j++) {
          w[i * TILE_U + j] = hidden_weight[entry + column[j]];
        }
        entry += u.units;
      }
      //#unroll
      for (var l = 0u; l < LOADS; l++) {
        part[l] = previous[row[l] + k];
      }
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        let h = subgroupBroadcast(part[i / LANES], i % LANES);
        //#unroll
        for (var g = 0u; g < 3u; g++) {
          //#unroll
          for (var j = 0u; j < TILE_U; j++) {
            var sum = acc[(g * TILE_M + i) * TILE_U + j];
            sum = fma(vec4<f32>(h.x), w[g * TILE_U + j], sum);
            sum = fma(vec4<f32>(h.y), w[(3u + g) * TILE_U + j], sum);
            sum = fma(vec4<f32>(h.z), w[(6u + g) * TILE_U + j], sum);
            acc[(g * TILE_M + i) * TILE_U + j] = fma(vec4<f32>(h.w), w[(9u + g) * TILE_U + j], sum);
          }
        }
      }
    }
    let count = TILE_U * min(TILE_M, u.clips - first_clip);
    for (var e = 0u; e < count; e++) { // rolled, the sums moving up
      let unit = first_unit + e % TILE_U;
      if (unit < u.units) {
        finish(
          s, direction, first_clip + e / TILE_U, unit,
          acc[0], acc[TILE_M * TILE_U], acc[2u * TILE_M * TILE_U],
        );
      }
      //#unroll
      for (var i = 1u; i < 3u * TILE_M * TILE_U; i++) {
        acc[i - 1u] = acc[i];
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
