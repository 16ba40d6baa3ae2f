// y += x; odd elements only. For the tests of program.ts.
const ODD = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>; // [n]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [at most n]

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&y) && (id.x & 1u) == ODD) {
    y[id.x] += x[id.x];
  }
}
