// y[e] = 0. A workgroup sets 16 vec4s an invocation. Grid: folded over x and y.
const LANES = 8u;
const EACH = 16u;

struct Uniforms {
  length: u32, // E / 4
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>; // [E / 4]
@group(0) @binding(1) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * LANES * EACH + lane;
  //#unroll
  for (var i = 0u; i < EACH; i++) {
    if (first + i * LANES < u.length) {
      y[first + i * LANES] = vec4<f32>(0.0);
    }
  }
}
