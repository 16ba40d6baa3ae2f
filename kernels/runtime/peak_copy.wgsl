// y[i] = x[i]: the adapter's memory bandwidth, one read and one write.
//
// One invocation copies EACH vec4s that lie a whole grid apart, so that neighbours read neighbours.
// Grid: x = workgroups; its invocations times EACH is the length, so there is nothing to guard.
const GROUP = 64u; // invocations of a workgroup
const EACH = 4u;

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [length]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [length]

@compute @workgroup_size(GROUP)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let stride = groups.x * GROUP;
  //#unroll
  for (var i = 0u; i < EACH; i++) {
    y[id.x + i * stride] = x[id.x + i * stride];
  }
}
