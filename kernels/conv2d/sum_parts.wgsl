// y[e] = sum over p of parts[p, e], in the order of p. One invocation sums four elements. Grid: folded over x and y.
struct Uniforms {
  parts: u32, // P
  length: u32, // E / 4
}

@group(0) @binding(0) var<storage, read> parts: array<vec4<f32>>; // [P, E / 4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [E / 4]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let element = (group.y * groups.x + group.x) * 64u + local;
  if (element < u.length) {
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < u.parts; p++) {
      sum += parts[p * u.length + element];
    }
    y[element] = sum;
  }
}
