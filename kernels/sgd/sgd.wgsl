// v = momentum v + (g + weight_decay w); w = w - rate v, in place (PyTorch's SGD). One invocation: one element.
struct Uniforms {
  count: u32,
  rate: f32,
  momentum: f32,
  weight_decay: f32,
  row: u32, // invocations of a row of the grid
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> weight: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> velocity: array<f32>; // [count]
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    let v = u.momentum * velocity[i] + gradient[i] + u.weight_decay * weight[i];
    velocity[i] = v;
    weight[i] -= u.rate * v;
  }
}
