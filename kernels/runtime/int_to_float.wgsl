// y[i] = f32(x[i]): tfjs's cast of integers to float32 leaves them as they are in the buffer. Grid: x, folded into y.
struct Uniforms {
  count: u32,
  row: u32, // invocations of a row of the grid
}

@group(0) @binding(0) var<storage, read> x: array<i32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    y[i] = f32(x[i]);
  }
}
