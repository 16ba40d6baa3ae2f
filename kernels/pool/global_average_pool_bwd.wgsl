// dx[n, m, c] = dy[n, c] / M for every row m of the M = H W of an image.
//
// One invocation: one element of up to 8 rows. Grid: n * blocks * C + block * C + c, in elements.
//#include "elements.wgsl"
const LANES = 64u;
const ROWS = 8u;

struct Uniforms {
  count: u32, // N blocks C, in elements
  channels: u32, // C, in elements
  rows: u32, // M
  blocks: u32, // of ROWS rows
  scale: f32, // 1 / M
}

//#texture
@group(0) @binding(0) var<storage, read> dy: array<Element>; // [N, C]
@group(0) @binding(1) var<storage, read_write> dx: array<Element>; // [N, M, C]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let i = id.y * grid.x * LANES + id.x;
  if (i < u.count) {
    let part = i / u.channels;
    let c = i - part * u.channels;
    let image = part / u.blocks;
    let first = (part - image * u.blocks) * ROWS;
    let value = u.scale * dy[image * u.channels + c];
    let last = min(u.rows, first + ROWS);
    for (var m = first; m < last; m++) {
      dx[(image * u.rows + m) * u.channels + c] = value;
    }
  }
}
