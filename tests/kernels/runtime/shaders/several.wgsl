// sum = scale (a + b) + shift; count_of = number of elements, in every element. For the tests of program.ts.
struct Uniforms {
  count: u32,
  scale: f32,
  shift: i32,
  row: u32, // invocations of a row of workgroups
  a_first: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>; // a [count]
@group(0) @binding(1) var<storage, read> b: array<f32>; // b [count]
@group(0) @binding(2) var<storage, read_write> sum: array<f32>; // [count]
@group(0) @binding(3) var<storage, read_write> numbers: array<i32>; // [count]
@group(0) @binding(4) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.y * u.row + id.x;
  if (i < u.count) {
    sum[i] = u.scale * (a[u.a_first + i] + b[i]) + f32(u.shift);
    numbers[i] = i32(i) + u.shift;
  }
}
