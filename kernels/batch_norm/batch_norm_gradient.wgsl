// The gradient of what is normalised, before the ReLU, and sums of it over the rows of a workgroup.
//
// For the dispatches that sum, batch_norm_bwd_sums.wgsl and batch_norm_alone_bwd.wgsl.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES_C = 8u; // along channels
const LANES_M = 1u; // along rows, a power of 2; if above 1, WIDE is 1
const WIDE = 1u; // C is a multiple of LANES_C * WIDE elements, or WIDE is 1
const RELU = true;
const RESIDUAL = false; // a ReLU over a sum with a residual
const FORKED = false; // y went two ways, only with RESIDUAL: dy is the sum of dy and more

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [M, C]
//#texture
@group(0) @binding(1) var<storage, read> y: array<Element>; // [M, C]; x itself where there is no residual
//#texture
@group(0) @binding(2) var<storage, read> dy: array<Element>; // [M, C]
@group(0) @binding(3) var<storage, read> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
//#texture
@group(0) @binding(4) var<storage, read> more: array<Element>; // [M, C]; dy itself where it is not forked

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

struct Sums {
  g: Element,
  product: Element, // of g and x - mean
}

var<workgroup> found: array<Sums, LANES_C * LANES_M>;

// What the invocations of a column have summed together, for each of them; local: its places along channels and rows.
fn add_rows(mine: Sums, local: vec2<u32>) -> Sums {
  let lane = local.y * LANES_C + local.x;
  found[lane] = mine;
  for (var span = LANES_M / 2u; span > 0u; span /= 2u) {
    workgroupBarrier();
    if (local.y < span) {
      found[lane].g += found[lane + span * LANES_C].g;
      found[lane].product += found[lane + span * LANES_C].product;
    }
  }
  workgroupBarrier();
  return found[local.x];
}
