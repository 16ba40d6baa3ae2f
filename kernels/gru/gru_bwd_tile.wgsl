// Steps back through time of a GRU layer, as gru_bwd.wgsl, for GPUs.
//
// A workgroup sums GROUPS * TILE_M clips times UNITS vec4s of units: SLICES * DEPTH vec4s of the gradient and of the
// units' rows of U are brought to workgroup memory at a time. One invocation sums TILE_M clips times one vec4 of units
// over a slice of DEPTH, as in gru_fwd_tile.wgsl. In workgroup memory the rows of U stand in the order in which invocations
// beside each other read them, each one vec4 longer than a round, so that the reads fall into different banks.
// With FUSED it owns all units of its clips and goes on to the next step behind a barrier.
// Grid: x = clips, y = units, z = directions.
//
// Measured on an NVIDIA H200, G 384, B 96, both directions, us a step: 4 slices 63; with the loads of a round ahead of it
// and the rows in this order 34.
//#include "gru_bwd_finish.wgsl"

const TILE_M = 2u;
const UNITS = 8u;
const GROUPS = 8u;
const SLICES = 2u;
const DEPTH = 2u;
const FUSED = false; // several steps a dispatch; then UNITS must cover all units

const ROUND = SLICES * DEPTH;
const SUMS = TILE_M * UNITS * GROUPS; // of a slice
const THREADS = UNITS * GROUPS * SLICES;
const D_SIZE = GROUPS * TILE_M * ROUND;
const W_SIZE = 4u * UNITS * ROUND;
const D_LOADS = (D_SIZE + THREADS - 1u) / THREADS; // of an invocation and round
const W_LOADS = (W_SIZE + THREADS - 1u) / THREADS;

var<workgroup> d_tile: array<vec4<f32>, D_SIZE>; // [clips, ROUND]
var<workgroup> w_tile: array<vec4<f32>, max(4u * UNITS * (ROUND + 1u), SUMS)>; // [4, UNITS, ROUND + 1], then a slice's sums

@compute @workgroup_size(UNITS, GROUPS, SLICES)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let first_unit = group.y * UNITS;
  let first_clip = group.x * GROUPS * TILE_M;
  let direction = group.z;
  let steps = u.steps + (group.z >> 16u); // + 0, as in gru_fwd.wgsl
  for (var passed = 0u; passed < steps; passed++) {
    let after = u.after - passed;
    let length = gradient_length(after);
    var acc = array<vec4<f32>, TILE_M>();
    // The loads of a round are on their way while the round before is summed.
    for (var first = 0u; first < length + ROUND; first += ROUND) {
      var d_next: array<vec4<f32>, D_LOADS>;
      //#unroll
      for (var l = 0u; l < D_LOADS; l++) {
        let e = lane + l * THREADS;
        let clip = first_clip + e / ROUND;
        let k = first + e % ROUND;
        let inside = clip < u.clips && k < length;
        let at = select(0u, gradient_at(after, direction, clip) + k, inside);
        d_next[l] = select(vec4<f32>(0.0), d_recurrent[at], inside);
      }
      var w_next: array<vec4<f32>, W_LOADS>;
      //#unroll
      for (var l = 0u; l < W_LOADS; l++) {
        let e = lane + l * THREADS;
        let row = e / ROUND; // [4, UNITS]
        let unit = 4u * (first_unit + row % UNITS) + row / UNITS;
        let k = first + e % ROUND;
        let inside = unit < 4u * u.units && k < length;
        let at = select(0u, (4u * direction * u.units + unit) * length + k, inside);
        w_next[l] = select(vec4<f32>(0.0), hidden_weight[at], inside);
      }
      if (first > 0u) {
        //#unroll
        for (var slot = 0u; slot < DEPTH; slot++) {
          let k = local.z * DEPTH + slot;
          let w0 = w_tile[local.x * (ROUND + 1u) + k];
          let w1 = w_tile[(UNITS + local.x) * (ROUND + 1u) + k];
          let w2 = w_tile[(2u * UNITS + local.x) * (ROUND + 1u) + k];
          let w3 = w_tile[(3u * UNITS + local.x) * (ROUND + 1u) + k];
          //#unroll
          for (var i = 0u; i < TILE_M; i++) {
            let d = d_tile[(local.y * TILE_M + i) * ROUND + k];
            acc[i] += vec4<f32>(dot(d, w0), dot(d, w1), dot(d, w2), dot(d, w3));
          }
        }
      }
      workgroupBarrier();
      //#unroll
      for (var l = 0u; l < D_LOADS; l++) {
        if (lane + l * THREADS < D_SIZE) {
          d_tile[lane + l * THREADS] = d_next[l];
        }
      }
      //#unroll
      for (var l = 0u; l < W_LOADS; l++) {
        let e = lane + l * THREADS;
        if (e < W_SIZE) {
          w_tile[e / ROUND * (ROUND + 1u) + e % ROUND] = w_next[l];
        }
      }
      workgroupBarrier();
    }
    let unit = first_unit + local.x;
    let place = TILE_M * (local.y * UNITS + local.x);
    for (var slice = 1u; slice < SLICES; slice++) {
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        if (local.z == slice) {
          w_tile[place + i] = acc[i];
        }
      }
      workgroupBarrier();
      //#unroll
      for (var i = 0u; i < TILE_M; i++) {
        if (local.z == 0u) {
          acc[i] += w_tile[place + i];
        }
      }
      workgroupBarrier();
    }
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let clip = first_clip + local.y * TILE_M + i;
      if (local.z == 0u && clip < u.clips && unit < u.units) {
        finish(after, direction, clip, unit, acc[i]);
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
