// Line 6 does not compile. For the tests of pipeline.ts.
//#include "included.wgsl"
@group(0) @binding(0) var<storage, read_write> y: array<f32>; // y [8]
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  y[id.x] = nothing;
}
