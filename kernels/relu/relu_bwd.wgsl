// dx = dy where y is above 0 or NaN, else 0. One invocation: one element. Grid: x, y = elements / 64.
//#include "elements.wgsl"
//#include "nan.wgsl"

struct Uniforms {
  count: u32, // elements
  row: u32, // of the grid, in elements
}

//#texture
@group(0) @binding(0) var<storage, read> y: array<Element>; // [count]
//#texture
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [count]
@group(0) @binding(2) var<storage, read_write> dx: array<Element>; // [count]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    dx[i] = vec4_to_element(relu_gradient4(element_to_vec4(dy[i]), element_to_vec4(y[i])));
  }
}
