// merged[0, c] and merged[1, c] from partial_sums[p, 0, c] and partial_sums[p, 1, c] of all chunks p: mean and squared deviations
// (batch_norm_sums.wgsl), or plain sums where BACKWARD (batch_norm_bwd_sums.wgsl).
//
// Between the two dispatches where there are so many chunks that not every later invocation should add them all.
// A workgroup: LANES_C elements; LANES_P invocations take the chunks in turn, then a tree. Grid: groups of elements.
//#include "elements.wgsl"
//#include "batch_norm_moments.wgsl"
const BACKWARD = false;
const LANES_C = 8u;
const LANES_P = 1u;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  chunks: u32, // P
  chunk_rows: u32,
}

@group(0) @binding(0) var<storage, read> partial_sums: array<Element>; // [P, 2, C]
@group(0) @binding(1) var<storage, read_write> merged: array<Element>; // [1, 2, C]
@group(0) @binding(2) var<uniform> u: Uniforms;

var<workgroup> found: array<Moments, LANES_C * LANES_P>;

fn merge(a: Moments, b: Moments) -> Moments {
  if (BACKWARD) {
    return Moments(0.0, a.mean + b.mean, a.squares + b.squares);
  }
  return merge_moments(a, b);
}

@compute @workgroup_size(LANES_C, LANES_P)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let c = (workgroup.y * grid.x + workgroup.x) * LANES_C + local.x;
  var all = Moments(0.0, Element(0.0), Element(0.0));
  if (c < u.channels) {
    for (var p = local.y; p < u.chunks; p += LANES_P) {
      let count = f32(min(u.chunk_rows, u.rows - p * u.chunk_rows));
      let at = 2u * p * u.channels + c;
      all = merge(all, Moments(count, partial_sums[at], partial_sums[at + u.channels]));
    }
  }
  let lane = local.y * LANES_C + local.x;
  found[lane] = all;
  for (var span = LANES_P / 2u; span > 0u; span /= 2u) {
    workgroupBarrier();
    if (local.y < span) {
      found[lane] = merge(found[lane], found[lane + span * LANES_C]);
    }
  }
  if (c < u.channels && local.y == 0u) {
    merged[c] = found[lane].mean;
    merged[u.channels + c] = found[lane].squares;
  }
}
