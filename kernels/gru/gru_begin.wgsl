// The initial state as the state before the first step. Grid: one invocation four units, folded over y.
struct Uniforms {
  count: u32, // directions * B * G / 4
  clip_units: u32, // B * G / 4
  frames: u32, // T
  grid_row: u32, // invocations in x
}

@group(0) @binding(0) var<storage, read> initial: array<vec4<f32>>; // [directions, B, G / 4]
@group(0) @binding(1) var<storage, read_write> previous: array<vec4<f32>>; // [directions, T, B, G / 4]; slot 0 is written
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.grid_row + id.x;
  if (i < u.count) {
    let direction = i / u.clip_units;
    previous[direction * (u.frames - 1u) * u.clip_units + i] = initial[i];
  }
}
