// sums[n, p, c] = scale * sum over the rows m of chunk p of x[n, m, c]; global average pooling, if P = 1 and
// scale = 1 / M.
//
// One invocation: one element of sums, in four interleaved sums. Grid: elements of sums.
//#include "elements.wgsl"
const LANES = 64u;

struct Uniforms {
  count: u32, // N P C, in elements
  channels: u32, // C, in elements
  rows: u32, // M
  chunks: u32, // P
  chunk_rows: u32,
  scale: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [N, M, C]
@group(0) @binding(1) var<storage, read_write> sums: array<Element>; // [N, P, C]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let i = id.y * grid.x * LANES + id.x;
  if (i < u.count) {
    let part = i / u.channels;
    let image = part / u.chunks;
    let chunk = part - image * u.chunks;
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    var m = chunk * u.chunk_rows;
    var at = (image * u.rows + m) * u.channels + (i - part * u.channels);
    var a = Element(0.0);
    var b = Element(0.0);
    var c = Element(0.0);
    var d = Element(0.0);
    for (; m + 3u < last; m += 4u) {
      a += x[at];
      b += x[at + u.channels];
      c += x[at + 2u * u.channels];
      d += x[at + 3u * u.channels];
      at += 4u * u.channels;
    }
    for (; m < last; m++) {
      a += x[at];
      at += u.channels;
    }
    sums[i] = u.scale * ((a + b) + (c + d));
  }
}
