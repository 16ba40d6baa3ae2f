// y[i] = factor y[i] + x[i], in place, y read from a texture on a software adapter.
const COUNT = 4u;

struct Uniforms {
  factor: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [COUNT]
//#texture
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [COUNT]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < COUNT) {
    y[id.x] = u.factor * y[id.x] + x[id.x];
  }
}
