// partial_sums[p, 0, c] = mean over the rows m of chunk p of x[m, c] - x[0, c],
// partial_sums[p, 1, c] = sum of the squared deviations from it.
//
// First dispatch of batch normalisation in training. A workgroup: LANES_C elements of one chunk, whose rows LANES_M
// invocations take in turn, four at a time; a tree merges what they found. Grid: chunk * groups + group of elements.
// With LANES_M = 1 each invocation is alone and has WIDE elements, as in batch_norm_fwd.wgsl; grid:
// chunk * C / WIDE + c / WIDE, in elements. The first row is subtracted because it makes values far from 0 small without
// error.
//
// On lavapipe 4 x 2 lanes take 1.6 times as long as 8 x 1: a barrier makes the driver switch between lanes.
// Dead end: a sum of squares about the first row alone is no faster, and loses the variance if that row is an outlier.
//#include "elements.wgsl"
//#include "batch_norm_moments.wgsl"
//#include "batch_norm_columns.wgsl"

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  groups: u32, // of LANES_C elements
  chunks: u32, // P
  chunk_rows: u32, // rows of a chunk; the last chunk may have fewer
}

@group(0) @binding(1) var<storage, read_write> partial_sums: array<Element>; // [P, 2, C] mean, squares
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES_C, LANES_M)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let index = workgroup.y * grid.x + workgroup.x;
  var chunk = index / u.groups;
  var c = (index - chunk * u.groups) * LANES_C + local.x;
  if (LANES_M == 1u) {
    let columns = u.channels / WIDE;
    chunk = (index * LANES_C + local.x) / columns;
    let column = index * LANES_C + local.x - chunk * columns;
    c = column / LANES_C * LANES_C * WIDE + column % LANES_C;
  }
  let inside = chunk < u.chunks && c < u.channels;
  var all = array<Moments, WIDE>(); // all 0
  if (inside) {
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    all = column_moments(u.channels, c, LANES_C, chunk * u.chunk_rows + local.y, last, LANES_M);
  }
  if (LANES_M > 1u) {
    all[0] = merge_rows(all[0], local.xy);
  }
  if (inside && local.y == 0u) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let at = 2u * chunk * u.channels + c + k * LANES_C;
      partial_sums[at] = all[k].mean;
      partial_sums[at + u.channels] = all[k].squares;
    }
  }
}
