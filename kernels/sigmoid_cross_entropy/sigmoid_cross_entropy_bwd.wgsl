// dx = dloss inverse (sigmoid(x) (1 - y) - v y sigmoid(-x)); 0 where y is ignored. One invocation: one element.
// Grid: x, y = elements / 64.
//#include "elements.wgsl"
const WEIGHTED = false;
const UNIT = false; // dloss is 1

struct Uniforms {
  count: u32, // M K, in elements
  columns: u32, // K, in elements
  row: u32, // of the grid, in elements
}

//#texture
@group(0) @binding(0) var<storage, read> logits: array<Element>; // x [M, K]
@group(0) @binding(1) var<storage, read> labels: array<ElementInt>; // y [M, K]: 0, 1, -1 = ignored
@group(0) @binding(2) var<storage, read> weights: array<Element>; // v [K]; anything where there are none
@group(0) @binding(3) var<storage, read> inverse: array<f32>; // [1] of forward
@group(0) @binding(4) var<storage, read> dloss: array<f32>; // [1]; anything where it is 1
@group(0) @binding(5) var<storage, read_write> dlogits: array<Element>; // [M, K]
@group(0) @binding(6) var<uniform> u: Uniforms;

fn sigmoid(x: Element) -> Element {
  return 1.0 / (1.0 + exp(-x));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    let y = labels[i];
    let x = logits[i];
    var positive = -sigmoid(-x);
    if (WEIGHTED) {
      positive *= weights[i % u.columns];
    }
    var scale = inverse[0];
    if (!UNIT) {
      scale *= dloss[0];
    }
    let d = scale * select(sigmoid(x), positive, y == ElementInt(1));
    dlogits[i] = select(d, Element(0.0), y == ElementInt(-1));
  }
}
