// dgamma[d] and dbeta[d]: the sums over the chunks of layer_norm_bwd.wgsl, in order. Grid: x = elements of d / 64.
//#include "elements.wgsl"

struct Uniforms {
  columns: u32, // D, in elements
  chunks: u32, // P
}

//#texture
@group(0) @binding(0) var<storage, read> dgamma_chunks: array<Element>; // [P, D]
//#texture
@group(0) @binding(1) var<storage, read> dbeta_chunks: array<Element>; // [P, D]
@group(0) @binding(2) var<storage, read_write> dgamma: array<Element>; // [D]
@group(0) @binding(3) var<storage, read_write> dbeta: array<Element>; // [D]
@group(0) @binding(4) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i < u.columns) {
    var products = Element(0.0);
    var sum = Element(0.0);
    for (var p = 0u; p < u.chunks; p++) {
      products += dgamma_chunks[p * u.columns + i];
      sum += dbeta_chunks[p * u.columns + i];
    }
    dgamma[i] = products;
    dbeta[i] = sum;
  }
}
