// With g = dy where y > 0 and 0 elsewhere (dy itself without a ReLU) and xhat = (x - mean) inverse:
// partial[p, 0, c] = sum over the rows of chunk p of g, partial[p, 1, c] = sum of g xhat.
//
// First of two dispatches of the backward pass. One invocation: four channels of one chunk of rows.
// Grid: x = chunk * C / 4 + c / 4.
const RELU = true;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / 4
  chunks: u32, // P
  chunk_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(3) var<storage, read> saved: array<vec4<f32>>; // [2, C / 4] mean, inverse deviation
@group(0) @binding(4) var<storage, read_write> partial_sums: array<vec4<f32>>; // [P, 2, C / 4]
@group(0) @binding(5) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let chunk = id.x / u.channels;
  let c = id.x - chunk * u.channels;
  if (chunk < u.chunks) {
    let mean = saved[c];
    let inverse = saved[u.channels + c];
    var sum = vec4<f32>(0.0);
    var products = vec4<f32>(0.0);
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    for (var m = chunk * u.chunk_rows; m < last; m++) {
      let at = m * u.channels + c;
      var g = dy[at];
      if (RELU) {
        g = select(vec4<f32>(0.0), g, y[at] > vec4<f32>(0.0));
      }
      sum += g;
      products = fma(g, (x[at] - mean) * inverse, products);
    }
    partial_sums[2u * chunk * u.channels + c] = sum;
    partial_sums[(2u * chunk + 1u) * u.channels + c] = products;
  }
}
