// y[m, c] = x[m, c], and 0 where x has no channel c: rows made longer, or cut. The convolution's kernels read four
// channels at a time, so other tensors pass through here before or after. One invocation writes four channels of a row.
// Grid: rows * groups of four, folded over x and y.
struct Uniforms {
  rows: u32, // M
  in_channels: u32, // of x
  out_channels: u32, // of y
  row_groups: u32, // out_channels / 4, rounded up
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [M, in_channels]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [M, out_channels]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / u.row_groups;
  let first = (index - row * u.row_groups) * 4u;
  if (row < u.rows) {
    for (var c = first; c < min(first + 4u, u.out_channels); c++) {
      let value = x[row * u.in_channels + min(c, u.in_channels - 1u)];
      y[row * u.out_channels + c] = select(0.0, value, c < u.in_channels);
    }
  }
}
