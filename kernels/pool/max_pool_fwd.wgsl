// y[n, ho, wo, c] = the maximum of x[n, h, w, c] over a window of rows and columns; padding and what a last, partial
// window lacks do not count. NaN is greater than everything, so that it shows.
//
// One invocation: one element of y. Grid: elements of y. Backward needs where the maximum was, the first in order if
// it was there several times (PyTorch's rule): h W + w, as a float, which is exact up to 2^24.
//
// A window that sticks out is not cut but clamped to the image: the edge's values then count several times, which
// changes neither the maximum nor its first position, and no lane branches.
//#include "elements.wgsl"
//#include "nan.wgsl"
const LANES = 64u;

struct Uniforms {
  count: u32, // N Ho Wo C, in elements
  channels: u32, // C, in elements
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  size_y: u32,
  size_x: u32,
  stride_y: u32,
  stride_x: u32,
  pad_y: u32,
  pad_x: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<Element>; // [N, H, W, C]
@group(0) @binding(1) var<storage, read_write> y: array<Element>; // [N, Ho, Wo, C]
@group(0) @binding(2) var<storage, read_write> positions: array<Element>; // [N, Ho, Wo, C] h W + w
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let i = id.y * grid.x * LANES + id.x;
  if (i < u.count) {
    let pixel = i / u.channels;
    let c = i - pixel * u.channels;
    let row = pixel / u.out_width;
    let image = row / u.out_height;
    let top = (row - image * u.out_height) * u.stride_y;
    let left = (pixel - row * u.out_width) * u.stride_x;
    let first = image * u.height * u.width;
    var best = vec4<f32>(0.0);
    var position = vec4<f32>(-1.0);
    var found_nan = vec4<bool>(false);
    for (var r = 0u; r < u.size_y; r++) {
      let h = min(max(top + r, u.pad_y) - u.pad_y, u.height - 1u);
      for (var s = 0u; s < u.size_x; s++) {
        let at = h * u.width + min(max(left + s, u.pad_x) - u.pad_x, u.width - 1u);
        let value = element_to_vec4(x[(first + at) * u.channels + c]);
        let nan = is_nan4(value);
        let better = (position < vec4<f32>(0.0)) | (((value > best) | nan) & !found_nan);
        found_nan |= nan;
        best = select(best, value, better);
        position = select(position, vec4<f32>(f32(at)), better);
      }
    }
    y[i] = vec4_to_element(best);
    positions[i] = vec4_to_element(position);
  }
}
