// partial[p, 0, c] = sum over the rows m of chunk p of x[m, c] - x[0, c], partial[p, 1, c] = the same of its square.
//
// First of two dispatches of batch normalisation in training. The first row is subtracted because a sum of squares
// loses the variance of values far from 0. One invocation: four channels of one chunk. Grid: x = chunk * C / 4 + c / 4.
struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / 4
  chunks: u32, // P
  chunk_rows: u32, // rows of a chunk; the last chunk may have fewer
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, C / 4]
@group(0) @binding(1) var<storage, read_write> partial_sums: array<vec4<f32>>; // [P, 2, C / 4]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let chunk = id.x / u.channels;
  let c = id.x - chunk * u.channels;
  if (chunk < u.chunks) {
    let pivot = x[c];
    var sum = vec4<f32>(0.0);
    var squares = vec4<f32>(0.0);
    let last = min(u.rows, (chunk + 1u) * u.chunk_rows);
    for (var m = chunk * u.chunk_rows; m < last; m++) {
      let d = x[m * u.channels + c] - pivot;
      sum += d;
      squares = fma(d, d, squares);
    }
    partial_sums[2u * chunk * u.channels + c] = sum;
    partial_sums[(2u * chunk + 1u) * u.channels + c] = squares;
  }
}
