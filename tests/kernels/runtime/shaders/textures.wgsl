// y[i] = x[COUNT - 1 - i] + more[i] z[i], its operands from textures on a software adapter.
const COUNT = 4u;
const BEYOND = false; // y[i] = x[COUNT + i] instead, which is not there

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [COUNT]
//#texture
@group(0) @binding(1) var<storage, read> more: array<vec4<f32>>; // [COUNT]
//#texture
@group(0) @binding(2) var<storage, read> z: array<f32>; // [COUNT]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // [COUNT]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < COUNT) {
    if (BEYOND) {
      y[id.x] = x[COUNT + id.x];
    } else {
      y[id.x] = x[COUNT - 1u - id.x] + more[id.x] * z[id.x];
    }
  }
}
