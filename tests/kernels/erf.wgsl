// erf, GELU and its derivative of every element, of scalars and of vectors, for their test.
//#include "erf.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [count]
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>; // [6, count]

@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x;
  let count = groups.x;
  let v = x[i];
  results[i] = erf4(v);
  results[count + i] = gelu4(v);
  results[2u * count + i] = gelu_derivative4(v);
  results[3u * count + i] = vec4<f32>(erf(v.x), erf(v.y), erf(v.z), erf(v.w));
  results[4u * count + i] = vec4<f32>(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
  results[5u * count + i] = vec4<f32>(
    gelu_derivative(v.x),
    gelu_derivative(v.y),
    gelu_derivative(v.z),
    gelu_derivative(v.w),
  );
}
