// The function of dropout.wgsl for counts that are no multiple of 4. One invocation: one element. Grid: x, y =
// elements / 64.
//#include "nan.wgsl"
//#include "threefry.wgsl"

struct Uniforms {
  seed: u32, // key
  layer: u32, // key
  step: u32,
  threshold: u32, // rate 2^32
  scale: f32, // 1 / (1 - rate)
  count: u32, // elements
  row: u32, // of the grid, in elements
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let e = id.y * u.row + id.x;
  if (e < u.count) {
    let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, e);
    let value = x[e];
    y[e] = select(0.0, u.scale * value, keeps || is_nan4(vec4<f32>(value)).x);
  }
}
