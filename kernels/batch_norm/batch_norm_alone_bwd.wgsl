// dbeta = sum g, dgamma = sum g xhat, dx = gamma inverse (g - dbeta / M - xhat dgamma / M); g and xhat as in
// batch_norm_bwd_sums.wgsl. With running statistics (FROZEN) dx = gamma inverse g.
//
// The only dispatch of the backward pass where there are few rows: an invocation has all rows of WIDE elements, LANES
// apart, adds them up, then makes dx. Grid: c / WIDE, in elements.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES = 8u;
const WIDE = 1u; // C is a multiple of LANES * WIDE elements, or WIDE is 1
const RELU = true;
const RESIDUAL = false; // a ReLU over a sum with a residual
const FROZEN = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
}

@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
@group(0) @binding(1) var<storage, read> y: array<Element>; // [M, C]; x itself where there is no residual
@group(0) @binding(2) var<storage, read> dy: array<Element>; // [M, C]
@group(0) @binding(3) var<storage, read> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
@group(0) @binding(4) var<storage, read_write> dx: array<Element>; // [M, C]
@group(0) @binding(5) var<storage, read_write> dgamma: array<Element>; // [C]
@group(0) @binding(6) var<storage, read_write> dbeta: array<Element>; // [C]
@group(0) @binding(7) var<storage, read_write> dresidual: array<Element>; // [M, C]; [1] where there is no residual
@group(0) @binding(8) var<uniform> u: Uniforms;

// dy behind the ReLU.
fn gradient(at: u32, centred: Element, scale: Element, beta: Element) -> Element {
  var g = dy[at];
  if (RELU && !RESIDUAL) {
    g = vec4_to_element(relu_gradient4(element_to_vec4(g), element_to_vec4(fma(centred, scale, beta))));
  }
  if (RESIDUAL) {
    g = vec4_to_element(relu_gradient4(element_to_vec4(g), element_to_vec4(y[at])));
  }
  return g;
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let column = id.y * grid.x * LANES + id.x;
  let c = column / LANES * LANES * WIDE + column % LANES;
  if (c < u.channels) {
    var mean = array<Element, WIDE>();
    var scale = array<Element, WIDE>();
    var beta = array<Element, WIDE>();
    var sum = array<Element, WIDE>();
    var product = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      mean[k] = saved[c + k * LANES];
      scale[k] = saved[2u * u.channels + c + k * LANES];
      beta[k] = saved[3u * u.channels + c + k * LANES];
    }
    // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values
    let last = u.rows + (id.z >> 16u);
    for (var m = 0u; m < last; m++) {
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
    if (!RESIDUAL && column == 0u) {
      dresidual[0] = Element(0.0);
    }
    var shift = array<Element, WIDE>();
    var slope = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES;
      let inverse = saved[u.channels + channel];
      let all = product[k] * inverse;
      dbeta[channel] = sum[k];
      dgamma[channel] = all;
      if (!FROZEN) {
        shift[k] = sum[k] / f32(u.rows);
        slope[k] = inverse * all / f32(u.rows);
      }
    }
    for (var m = 0u; m < last; m++) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES;
        let centred = x[at] - mean[k];
        let g = gradient(at, centred, scale[k], beta[k]);
        dx[at] = scale[k] * ((g - shift[k]) - centred * slope[k]);
      }
    }
  }
}
