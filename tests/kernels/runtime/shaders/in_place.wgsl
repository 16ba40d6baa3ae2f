// y += x, where x comes through a uniform window; odd elements only. For the tests of program.ts.
const ODD = 1u;

@group(0) @binding(0) var<uniform> x: array<vec4<f32>, 4096>; // x [16384]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // y [at most 16384]

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&y) && (id.x & 1u) == ODD) {
    y[id.x] += x[id.x / 4u][id.x % 4u];
  }
}
