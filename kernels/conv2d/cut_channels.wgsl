// y[m, c] = x[m, c]: rows without the channels that fill them to a multiple of 4. One invocation copies four channels
// of a row. Grid: rows * groups of four, folded over x and y.
struct Uniforms {
  rows: u32, // M
  channels: u32, // C
  row_groups: u32, // C / 4, rounded up
  skip: u32, // values of y before the first row
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4, rounded up]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [M, C], after skip values
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
    let values = x[index];
    y[at] = values.x;
    if (c + 1u < u.channels) {
      y[at + 1u] = values.y;
    }
    if (c + 2u < u.channels) {
      y[at + 2u] = values.z;
    }
    if (c + 3u < u.channels) {
      y[at + 3u] = values.w;
    }
  }
}
