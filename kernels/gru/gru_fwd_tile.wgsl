// Steps of a GRU layer, as gru_fwd.wgsl, for GPUs.
//
// A workgroup sums GROUPS * TILE_M clips times UNITS vec4s of units, all three gates: SLICES * DEPTH vec4s of h and the
// rows of U that they meet are brought to workgroup memory at a time. One invocation sums TILE_M clips times one vec4 of
// units over a slice of DEPTH; the slices' sums are added at the end. A step has few outputs for a GPU: it is the
// slices that give it enough invocations to wait for memory with.
// With FUSED it owns all units of its clips and goes on to the next step behind a barrier.
// Grid: x = clips, y = units, z = directions.
//
// Measured on an NVIDIA H200, G 384, B 96, both directions, us a step: 4 slices 32; with the loads of a round ahead of
// it 27. Forward and backward of two layers of G 768, ms: one slice 7.1, 4 slices 4.0, with loads ahead 2.8.
//#include "gru_fwd_finish.wgsl"

const TILE_M = 2u;
const UNITS = 8u;
const GROUPS = 8u;
const SLICES = 2u;
const DEPTH = 2u;
const FUSED = false; // several steps a dispatch; then UNITS must cover all units

const ROUND = SLICES * DEPTH;
const SUMS = 3u * TILE_M * UNITS * GROUPS; // of a slice
const THREADS = UNITS * GROUPS * SLICES;
const H_SIZE = GROUPS * TILE_M * ROUND;
const W_SIZE = 12u * ROUND * UNITS;
const H_LOADS = (H_SIZE + THREADS - 1u) / THREADS; // of an invocation and round
const W_LOADS = (W_SIZE + THREADS - 1u) / THREADS;

var<workgroup> h_tile: array<vec4<f32>, H_SIZE>; // [clips, ROUND]
var<workgroup> w_tile: array<vec4<f32>, max(W_SIZE, SUMS)>; // [4 ROUND, 3, UNITS], then a slice's sums

@compute @workgroup_size(UNITS, GROUPS, SLICES)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let first_unit = group.y * UNITS;
  let first_clip = group.x * GROUPS * TILE_M;
  let direction = group.z;
  let weights = 12u * direction * u.units * u.units;
  let last = u.step + u.steps + (group.z >> 16u); // + 0, as in gru_fwd.wgsl
  for (var s = u.step; s < last; s++) {
    let length = state_length(s);
    var acc = array<vec4<f32>, 3u * TILE_M>(); // [3, TILE_M]
    // The loads of a round are on their way while the round before is summed.
    for (var first = 0u; first < length + ROUND; first += ROUND) {
      var h_next: array<vec4<f32>, H_LOADS>;
      //#unroll
      for (var l = 0u; l < H_LOADS; l++) {
        let e = lane + l * THREADS;
        let clip = first_clip + e / ROUND;
        let k = first + e % ROUND;
        let inside = clip < u.clips && k < length;
        let at = select(0u, state_at(s, direction, clip) + k, inside);
        h_next[l] = select(vec4<f32>(0.0), previous[at], inside);
      }
      var w_next: array<vec4<f32>, W_LOADS>;
      //#unroll
      for (var l = 0u; l < W_LOADS; l++) {
        let e = lane + l * THREADS;
        let row = 12u * first + e / UNITS; // of U: 3 k + gate
        let unit = first_unit + e % UNITS;
        let inside = row < 12u * length && unit < u.units;
        let at = select(0u, weights + row * u.units + unit, inside);
        w_next[l] = select(vec4<f32>(0.0), hidden_weight[at], inside);
      }
      if (first > 0u) {
        //#unroll
        for (var slot = 0u; slot < DEPTH; slot++) {
          let k = local.z * DEPTH + slot;
          //#unroll
          for (var g = 0u; g < 3u; g++) {
            let w0 = w_tile[(12u * k + g) * UNITS + local.x];
            let w1 = w_tile[(12u * k + 3u + g) * UNITS + local.x];
            let w2 = w_tile[(12u * k + 6u + g) * UNITS + local.x];
            let w3 = w_tile[(12u * k + 9u + g) * UNITS + local.x];
            //#unroll
            for (var i = 0u; i < TILE_M; i++) {
              let h = h_tile[(local.y * TILE_M + i) * ROUND + k];
              acc[g * TILE_M + i] = fma(vec4<f32>(h.x), w0, acc[g * TILE_M + i]);
              acc[g * TILE_M + i] = fma(vec4<f32>(h.y), w1, acc[g * TILE_M + i]);
              acc[g * TILE_M + i] = fma(vec4<f32>(h.z), w2, acc[g * TILE_M + i]);
              acc[g * TILE_M + i] = fma(vec4<f32>(h.w), w3, acc[g * TILE_M + i]);
            }
          }
        }
      }
      workgroupBarrier();
      //#unroll
      for (var l = 0u; l < H_LOADS; l++) {
        if (lane + l * THREADS < H_SIZE) {
          h_tile[lane + l * THREADS] = h_next[l];
        }
      }
      //#unroll
      for (var l = 0u; l < W_LOADS; l++) {
        if (lane + l * THREADS < W_SIZE) {
          w_tile[lane + l * THREADS] = w_next[l];
        }
      }
      workgroupBarrier();
    }
    let unit = first_unit + local.x;
    let place = 3u * TILE_M * (local.y * UNITS + local.x);
    for (var slice = 1u; slice < SLICES; slice++) {
      //#unroll
      for (var i = 0u; i < 3u * TILE_M; i++) {
        if (local.z == slice) {
          w_tile[place + i] = acc[i];
        }
      }
      workgroupBarrier();
      //#unroll
      for (var i = 0u; i < 3u * TILE_M; i++) {
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
        finish(s, direction, clip, unit, acc[i], acc[TILE_M + i], acc[2u * TILE_M + i]);
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
