// What nan.wgsl makes of every element, for its test.
//#include "nan.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [count]
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>; // [3, count] is NaN, ReLU, its gradient of 2

@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let v = x[id.x];
  results[id.x] = select(vec4<f32>(0.0), vec4<f32>(1.0), is_nan4(v));
  results[groups.x + id.x] = relu4(v);
  results[2u * groups.x + id.x] = relu_gradient4(vec4<f32>(2.0), v);
}
