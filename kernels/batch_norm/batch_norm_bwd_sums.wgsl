// With g = dy, or 0 where the ReLU was at 0, and xhat = (x - mean) inverse:
// partial_sums[p, 0, c] = sum over the rows of chunk p of g, partial_sums[p, 1, c] = sum of g xhat.
//
// First dispatch of the backward pass. A workgroup: LANES_C elements of one chunk, whose rows LANES_M invocations take
// in turn; a tree adds what they found. Grid: chunk * groups + group of elements. With LANES_M = 1 each invocation is
// alone and has WIDE elements, as in batch_norm_fwd.wgsl; grid: chunk * C / WIDE + c / WIDE, in elements.
//
// Without a residual the ReLU's mask is computed again from x, which saves reading y; with one, g is written, since it
// is the residual's gradient, and the last dispatch reads it instead of y and dy. So where dy comes in two parts they are added
// in this pass and no other.
//#include "batch_norm_gradient.wgsl"

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  groups: u32, // of LANES_C elements
  chunks: u32, // P
  chunk_rows: u32,
}

@group(0) @binding(5) var<storage, read_write> partial_sums: array<Element>; // [P, 2, C]
@group(0) @binding(6) var<storage, read_write> dresidual: array<Element>; // [M, C]; [1] where there is no residual
@group(0) @binding(7) var<uniform> u: Uniforms;

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
  var mean = array<Element, WIDE>();
  var scale = array<Element, WIDE>();
  var beta = array<Element, WIDE>();
  var sum = array<Element, WIDE>();
  var product = array<Element, WIDE>();
  if (inside) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      mean[k] = saved[c + k * LANES_C];
      scale[k] = saved[2u * u.channels + c + k * LANES_C];
      beta[k] = saved[3u * u.channels + c + k * LANES_C];
    }
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    for (var m = chunk * u.chunk_rows + local.y; m < last; m += LANES_M) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES_C;
        let centred = x[at] - mean[k];
        let g = gradient(at, centred, scale[k], beta[k]);
        if (RESIDUAL) {
          dresidual[at] = g;
        }
        sum[k] += g;
        product[k] = fma(g, centred, product[k]);
      }
    }
    if (!RESIDUAL && index + local.x + local.y == 0u) {
      dresidual[0] = Element(0.0);
    }
  }
  if (LANES_M > 1u) {
    let all = add_rows(Sums(sum[0], product[0]), local.xy);
    sum[0] = all.g;
    product[0] = all.product;
  }
  if (inside && local.y == 0u) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let at = 2u * chunk * u.channels + c + k * LANES_C;
      partial_sums[at] = sum[k];
      partial_sums[at + u.channels] = product[k] * saved[u.channels + c + k * LANES_C];
    }
  }
}
