// Steps back through time of a GRU layer, as gru_bwd.wgsl, for GPUs.
//
// A workgroup sums GROUPS * TILE_M clips times UNITS vec4s of units: DEPTH vec4s of the gradient and of the units' rows of
// U are brought to workgroup memory at a time. One invocation sums TILE_M clips times one vec4 of units. A row of U in
// workgroup memory is one vec4 longer than DEPTH, so that the invocations' reads fall into different banks.
// With FUSED it owns all units of its clips and goes on to the next step behind a barrier.
// Grid: x = clips, y = units, z = directions. Not yet measured on a GPU.
//#include "gru_bwd_finish.wgsl"

const TILE_M = 2u;
const UNITS = 8u;
const GROUPS = 8u;
const DEPTH = 4u;
const FUSED = false; // several steps a dispatch; then UNITS must cover all units

var<workgroup> d_tile: array<vec4<f32>, GROUPS * TILE_M * DEPTH>; // [clips, DEPTH]
var<workgroup> w_tile: array<vec4<f32>, 4u * UNITS * (DEPTH + 1u)>; // [4 UNITS, DEPTH + 1]

@compute @workgroup_size(UNITS, GROUPS)
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
    for (var first = 0u; first < length; first += DEPTH) {
      for (var e = lane; e < GROUPS * TILE_M * DEPTH; e += UNITS * GROUPS) {
        let clip = first_clip + e / DEPTH;
        let k = first + e % DEPTH;
        let inside = clip < u.clips && k < length;
        let at = gradient_at(after, direction, min(clip, u.clips - 1u)) + min(k, length - 1u);
        d_tile[e] = select(vec4<f32>(0.0), d_recurrent[at], inside);
      }
      for (var e = lane; e < 4u * UNITS * DEPTH; e += UNITS * GROUPS) {
        let row = e / DEPTH;
        let unit = 4u * first_unit + row;
        let k = first + e % DEPTH;
        let inside = unit < 4u * u.units && k < length;
        let at = select(0u, (4u * direction * u.units + unit) * length + k, inside);
        w_tile[row * (DEPTH + 1u) + e % DEPTH] = select(vec4<f32>(0.0), hidden_weight[at], inside);
      }
      workgroupBarrier();
      //#unroll
      for (var k = 0u; k < DEPTH; k++) {
        let w0 = w_tile[4u * local.x * (DEPTH + 1u) + k];
        let w1 = w_tile[(4u * local.x + 1u) * (DEPTH + 1u) + k];
        let w2 = w_tile[(4u * local.x + 2u) * (DEPTH + 1u) + k];
        let w3 = w_tile[(4u * local.x + 3u) * (DEPTH + 1u) + k];
        //#unroll
        for (var i = 0u; i < TILE_M; i++) {
          let d = d_tile[(local.y * TILE_M + i) * DEPTH + k];
          acc[i] += vec4<f32>(dot(d, w0), dot(d, w1), dot(d, w2), dot(d, w3));
        }
      }
      workgroupBarrier();
    }
    let unit = first_unit + local.x;
    //#unroll
    for (var i = 0u; i < TILE_M; i++) {
      let clip = first_clip + local.y * TILE_M + i;
      if (clip < u.clips && unit < u.units) {
        finish(after, direction, clip, unit, acc[i]);
      }
    }
    if (FUSED) {
      storageBarrier();
    }
  }
}
