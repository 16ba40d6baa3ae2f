// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M); g and xhat as in
// batch_norm_bwd_sums.wgsl. With running statistics (FROZEN) dx = gamma inverse g.
//
// The only dispatch of the backward pass where there are few rows: LANES_M invocations take the rows of WIDE elements,
// LANES_C apart, in turn, and their sums together, then make dx. Grid: c / WIDE, in elements.
//#include "batch_norm_gradient.wgsl"
const FROZEN = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
}

@group(0) @binding(5) var<storage, read_write> dx: array<Element>; // [M, C]
@group(0) @binding(6) var<storage, read_write> dgamma: array<Element>; // [C]
@group(0) @binding(7) var<storage, read_write> dbeta: array<Element>; // [C]
@group(0) @binding(8) var<storage, read_write> dresidual: array<Element>; // [M, C]; [1] where there is no residual
@group(0) @binding(9) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES_C, LANES_M)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let column = (workgroup.y * grid.x + workgroup.x) * LANES_C + local.x;
  let c = column / LANES_C * LANES_C * WIDE + column % LANES_C;
  // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values
  let last = u.rows + (workgroup.z >> 16u);
  var mean = array<Element, WIDE>();
  var scale = array<Element, WIDE>();
  var beta = array<Element, WIDE>();
  var sum = array<Element, WIDE>();
  var product = array<Element, WIDE>();
  if (c < u.channels) {
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      mean[k] = saved[c + k * LANES_C];
      scale[k] = saved[2u * u.channels + c + k * LANES_C];
      beta[k] = saved[3u * u.channels + c + k * LANES_C];
    }
    for (var m = local.y; m < last; m += LANES_M) {
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
  }
  if (LANES_M > 1u) {
    let all = add_rows(Sums(sum[0], product[0]), local.xy);
    sum[0] = all.g;
    product[0] = all.product;
  }
  if (c < u.channels) {
    if (!RESIDUAL && column == 0u && local.y == 0u) {
      dresidual[0] = Element(0.0);
    }
    var shift = array<Element, WIDE>();
    var slope = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES_C;
      let inverse = saved[u.channels + channel];
      let all = product[k] * inverse;
      if (local.y == 0u) {
        dbeta[channel] = sum[k];
        dgamma[channel] = all;
      }
      if (!FROZEN) {
        shift[k] = sum[k] / f32(u.rows);
        slope[k] = inverse * all / f32(u.rows);
      }
    }
    for (var m = local.y; m < last; m += LANES_M) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES_C;
        let centred = x[at] - mean[k];
        let g = gradient(at, centred, scale[k], beta[k]);
        dx[at] = scale[k] * ((g - shift[k]) - centred * slope[k]);
      }
    }
  }
}
