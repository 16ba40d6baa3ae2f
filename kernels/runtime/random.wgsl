// y[i] = a random value, uniform in [-1, 1), from the place and a seed by PCG (Jarzynski and Olano, Hash Functions for GPU
// Rendering, JCGT 2020). One invocation: one value. Grid: x, y = values / 64.
struct Uniforms {
  count: u32,
  row: u32, // of the grid, in values
  seed: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(1) var<uniform> u: Uniforms;

fn pcg(input: u32) -> u32 {
  let state = input * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    y[i] = f32(pcg(i ^ u.seed) >> 8u) / 8388608.0 - 1.0;
  }
}
