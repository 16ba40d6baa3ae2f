// y[e] = x[e] / (1 - rate) where the mask of threefry.wgsl keeps element e, or it is NaN, else 0; the gradient is the
// same function of dy, so forward saves nothing.
//
// One invocation: four elements, two blocks of random bits. Grid: x, y = quads of elements / 64.
// Measured on lavapipe 22.3.6 against the same with scalar loads and stores: 1.7 times as fast.
//#include "nan.wgsl"
//#include "threefry.wgsl"

struct Uniforms {
  seed: u32, // key
  layer: u32, // key
  step: u32,
  threshold: u32, // rate 2^32
  scale: f32, // 1 / (1 - rate)
  count: u32, // quads of elements
  row: u32, // of the grid, in quads
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [count]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let quad = id.y * u.row + id.x;
  if (quad < u.count) {
    let keeps = dropout_keeps4(vec2<u32>(u.seed, u.layer), u.step, u.threshold, quad);
    let value = x[quad];
    y[quad] = select(vec4<f32>(0.0), u.scale * value, keeps | is_nan4(value));
  }
}
