// loss = mean over the entries with y >= 0 of v y softplus(-x) + (1 - y) softplus(x), v the positive weight of the
// column: binary cross-entropy, since -log sigmoid(x) = softplus(-x).
//
// One workgroup: each invocation sums every (workgroup size)-th element, then a fixed tree (rows.wgsl, one row). Saved
// for backward: 1 / count of those entries.
//#include "elements.wgsl"
//#include "rows.wgsl"
const WEIGHTED = false;

struct Uniforms {
  count: u32, // M K, in elements
  columns: u32, // K, in elements
  nan: f32, // what an impossible label makes of the loss
}

//#texture
@group(0) @binding(0) var<storage, read> logits: array<Element>; // x [M, K]
@group(0) @binding(1) var<storage, read> labels: array<ElementInt>; // y [M, K]: 0, 1, -1 = ignored
@group(0) @binding(2) var<storage, read> weights: array<Element>; // v [K]; anything where there are none
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // [1]
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>; // [1]; 0 where no entry counts
@group(0) @binding(5) var<uniform> u: Uniforms;

// log(1 + exp(x)), without overflow, with its digits where it is small
fn softplus(x: Element) -> Element {
  let e = exp(-abs(x));
  let series = e * (1.0 - e * (0.5 - e / 3.0)); // of log(1 + e)
  return max(x, Element(0.0)) + select(log(1.0 + e), series, e < Element(0.01)); // NaN: e and both sides have it
}

@compute @workgroup_size(ROW_LANES * ROWS)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = Element(0.0);
  var counted = Element(0.0);
  for (var i = local; i < u.count; i += ROW_LANES * ROWS) {
    let y = labels[i];
    let x = logits[i];
    var positive = softplus(-x);
    if (WEIGHTED) {
      positive *= weights[i % u.columns];
    }
    let entry = select(softplus(x), positive, y == ElementInt(1));
    sum += select(entry, Element(0.0), y < ElementInt(0));
    counted += select(Element(1.0), Element(0.0), y < ElementInt(0));
    counted += select(Element(0.0), Element(u.nan), (y < ElementInt(-1)) | (y > ElementInt(1)));
  }
  let sums = group_sum(vec2<f32>(element_sum(sum), element_sum(counted)), local);
  if (local == 0u) {
    let scale = select(1.0 / sums.y, 0.0, bitcast<u32>(sums.y) == 0u);
    loss[0] = sums.x * scale;
    inverse[0] = scale;
  }
}
