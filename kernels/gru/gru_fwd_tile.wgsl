// Steps of a GRU layer, as gru_fwd.wgsl, for GPUs.
//
// A workgroup sums GROUPS * TILE_M clips times UNITS vec4s of units, all three gates: DEPTH vec4s of h and the rows of U
// that they meet are brought to workgroup memory at a time. One invocation sums TILE_M clips times one vec4 of units.
// With FUSED it owns all units of its clips and goes on to the next step behind a barrier.
// Grid: x = clips, y = units, z = directions. Not yet measured on a GPU.
//#include "gru_fwd_finish.wgsl"

const TILE_M = 2u;
const UNITS = 8u;
const GROUPS = 8u;
const DEPTH = 4u;
const FUSED = false; // several steps a dispatch; then UNITS must cover all units

var<workgroup> h_tile: array<vec4<f32>, GROUPS * TILE_M * DEPTH>; // [clips, DEPTH]
var<workgroup> w_tile: array<vec4<f32>, 12u * DEPTH * UNITS>; // [4 DEPTH, 3, UNITS]

@compute @workgroup_size(UNITS, GROUPS)
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
    for (var first = 0u; first < length; first += DEPTH) {
      for (var e = lane; e < GROUPS * TILE_M * DEPTH; e += UNITS * GROUPS) {
        let clip = first_clip + e / DEPTH;
        let k = first + e % DEPTH;
        let inside = clip < u.clips && k < length;
        let at = state_at(s, direction, min(clip, u.clips - 1u)) + min(k, length - 1u);
        h_tile[e] = select(vec4<f32>(0.0), previous[at], inside);
      }
      for (var e = lane; e < 12u * DEPTH * UNITS; e += UNITS * GROUPS) {
        let row = e / UNITS; // of U: 3 (4 first + ..) + gate
        let unit = first_unit + e % UNITS;
        let inside = 12u * first + row < 12u * length && unit < u.units;
        let at = select(0u, weights + (12u * first + row) * u.units + unit, inside);
        w_tile[e] = select(vec4<f32>(0.0), hidden_weight[at], inside);
      }
      workgroupBarrier();
      //#unroll
      for (var k = 0u; k < DEPTH; k++) {
        //#unroll
        for (var g = 0u; g < 3u; g++) {
          let w0 = w_tile[(12u * k + g) * UNITS + local.x];
          let w1 = w_tile[(12u * k + 3u + g) * UNITS + local.x];
          let w2 = w_tile[(12u * k + 6u + g) * UNITS + local.x];
          let w3 = w_tile[(12u * k + 9u + g) * UNITS + local.x];
          //#unroll
          for (var i = 0u; i < TILE_M; i++) {
            let h = h_tile[(local.y * TILE_M + i) * DEPTH + k];
            acc[g * TILE_M + i] = fma(vec4<f32>(h.x), w0, acc[g * TILE_M + i]);
            acc[g * TILE_M + i] = fma(vec4<f32>(h.y), w1, acc[g * TILE_M + i]);
            acc[g * TILE_M + i] = fma(vec4<f32>(h.z), w2, acc[g * TILE_M + i]);
            acc[g * TILE_M + i] = fma(vec4<f32>(h.w), w3, acc[g * TILE_M + i]);
          }
        }
      }
      workgroupBarrier();
    }
    let unit = first_unit + local.x;
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let clip = first_clip + local.y * TILE_M + i;
      if (clip < u.clips && unit < u.units) {
        finish(s, direction, clip, unit, acc[i], acc[TILE_M + i], acc[2u * TILE_M + i]);
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
