// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M); g and xhat as in
// batch_norm_bwd_sums.wgsl. With running statistics (FROZEN) dx = gamma inverse g.
//
// The only dispatch of the backward pass where there are few rows: LANES_M invocations take the rows of WIDE elements,
// LANES apart, in turn, and their sums together, then make dx. Grid: c / WIDE, in elements.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES = 8u; // along channels
const LANES_M = 1u; // along rows, a power of 2; if above 1, WIDE is 1
const WIDE = 1u; // C is a multiple of LANES * WIDE elements, or WIDE is 1
const RELU = true;
const RESIDUAL = false; // a ReLU over a sum with a residual
const FORKED = false; // y went two ways, only with RESIDUAL: dy is the sum of dy and more
const FROZEN = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
}

@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
@group(0) @binding(1) var<storage, read> y: array<Element>; // [M, C]; x itself where there is no residual
@group(0) @binding(2) var<storage, read> dy: array<Element>; // [M, C]
@group(0) @binding(3) var<storage, read> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
@group(0) @binding(4) var<storage, read> more: array<Element>; // [M, C]; dy itself where it is not forked
@group(0) @binding(5) var<storage, read_write> dx: array<Element>; // [M, C]
@group(0) @binding(6) var<storage, read_write> dgamma: array<Element>; // [C]
@group(0) @binding(7) var<storage, read_write> dbeta: array<Element>; // [C]
@group(0) @binding(8) var<storage, read_write> dresidual: array<Element>; // [M, C]; [1] where there is no residual
@group(0) @binding(9) var<uniform> u: Uniforms;

// dy behind the ReLU.
fn gradient(at: u32, centred: Element, scale: Element, beta: Element) -> Element {
  var g = dy[at];
  if (FORKED) {
    g += more[at];
  }
  if (RELU && !RESIDUAL) {
    g = vec4_to_element(relu_gradient4(element_to_vec4(g), element_to_vec4(fma(centred, scale, beta))));
  }
  if (RESIDUAL) {
    g = vec4_to_element(relu_gradient4(element_to_vec4(g), element_to_vec4(y[at])));
  }
  return g;
}

var<workgroup> found: array<array<Element, 2>, LANES * LANES_M>;

@compute @workgroup_size(LANES, LANES_M)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let column = (workgroup.y * grid.x + workgroup.x) * LANES + local.x;
  let c = column / LANES * LANES * WIDE + column % LANES;
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
      mean[k] = saved[c + k * LANES];
      scale[k] = saved[2u * u.channels + c + k * LANES];
      beta[k] = saved[3u * u.channels + c + k * LANES];
    }
    for (var m = local.y; m < last; m += LANES_M) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES;
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
    let lane = local.y * LANES + local.x;
    found[lane] = array<Element, 2>(sum[0], product[0]);
    for (var span = LANES_M / 2u; span > 0u; span /= 2u) {
      workgroupBarrier();
      if (local.y < span) {
        found[lane][0] += found[lane + span * LANES][0];
        found[lane][1] += found[lane + span * LANES][1];
      }
    }
    workgroupBarrier();
    sum[0] = found[local.x][0];
    product[0] = found[local.x][1];
  }
  if (c < u.channels) {
    if (!RESIDUAL && column == 0u && local.y == 0u) {
      dresidual[0] = Element(0.0);
    }
    var shift = array<Element, WIDE>();
    var slope = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES;
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
        let at = m * u.channels + c + k * LANES;
        let centred = x[at] - mean[k];
        var g: Element;
        if (RESIDUAL) {
          g = dresidual[at]; // as this invocation has written it
        } else {
          g = gradient(at, centred, scale[k], beta[k]);
        }
        dx[at] = scale[k] * ((g - shift[k]) - centred * slope[k]);
      }
    }
  }
}
