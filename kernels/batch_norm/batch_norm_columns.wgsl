// The moments of WIDE columns of x, c and those every `stride` elements on, about the first row, over the rows
// first, first + step, .. below last, four at a time.
//#include "elements.wgsl"
//#include "batch_norm_moments.wgsl"
const LANES_C = 8u; // along channels
const LANES_M = 1u; // along rows, a power of 2; if above 1, WIDE is 1
const WIDE = 1u; // C is a multiple of the stride times WIDE, in elements, or WIDE is 1

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]

// channels: C in elements
fn column_moments(
  channels: u32, c: u32, stride: u32, first: u32, last: u32, step: u32,
) -> array<Moments, WIDE> {
  var all = array<Moments, WIDE>(); // all 0
  var pivot = array<Element, WIDE>();
  //#unroll
  for (var k = 0u; k < WIDE; k++) {
    pivot[k] = x[c + k * stride];
  }
  let row = step * channels;
  var m = first;
  for (; m + 3u * step < last; m += 4u * step) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let at = m * channels + c + k * stride;
      let a = x[at] - pivot[k];
      let b = x[at + row] - pivot[k];
      let d = x[at + 2u * row] - pivot[k];
      let e = x[at + 3u * row] - pivot[k];
      let mean = 0.25 * ((a + b) + (d + e));
      let squares = ((a - mean) * (a - mean) + (b - mean) * (b - mean)) +
        ((d - mean) * (d - mean) + (e - mean) * (e - mean));
      all[k] = merge_moments(all[k], Moments(4.0, mean, squares));
    }
  }
  for (; m < last; m += step) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let d = x[m * channels + c + k * stride] - pivot[k];
      all[k] = merge_moments(all[k], Moments(1.0, d, Element(0.0)));
    }
  }
  return all;
}

var<workgroup> found: array<Moments, LANES_C * LANES_M>;

// What the invocations of a column have found together, for each of them; local: its places along channels and rows.
fn merge_rows(mine: Moments, local: vec2<u32>) -> Moments {
  let lane = local.y * LANES_C + local.x;
  found[lane] = mine;
  for (var span = LANES_M / 2u; span > 0u; span /= 2u) {
    workgroupBarrier();
    if (local.y < span) {
      found[lane] = merge_moments(found[lane], found[lane + span * LANES_C]);
    }
  }
  workgroupBarrier();
  return found[local.x];
}
