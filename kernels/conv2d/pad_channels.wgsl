// y[m, c] = x[m, c], and 0 where x has no channel c: rows of a multiple of 4 channels, as the convolution's kernels
// read them. One invocation writes four channels of a row. Grid: rows * groups of four, folded over x and y.
struct Uniforms {
  rows: u32, // M
  channels: u32, // C
  row_groups: u32, // C / 4, rounded up
  skip: u32, // values of x before the first row
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<f32>; // [M, C], after skip values
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [M, C / 4, rounded up]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / u.row_groups;
  if (row < u.rows) {
    let c = (index - row * u.row_groups) * 4u;
    let at = u.skip + row * u.channels + c;
    let there = vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(u.channels);
    let values = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    y[index] = select(vec4<f32>(0.0), values, there);
  }
}
