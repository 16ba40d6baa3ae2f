// dx[n, h, w, c] = sum of dy[n, ho, wo, c] over the windows whose maximum was at (h, w).
//
// One invocation: one element of dx, which looks at every window that covers it, in order; so there is nothing to add
// atomically and the sum is always the same. Grid: elements of dx.
//#include "elements.wgsl"
const LANES = 64u;

struct Uniforms {
  count: u32, // N H W C, in elements
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
@group(0) @binding(0) var<storage, read> dy: array<Element>; // [N, Ho, Wo, C]
//#texture
@group(0) @binding(1) var<storage, read> positions: array<Element>; // [N, Ho, Wo, C] h W + w
@group(0) @binding(2) var<storage, read_write> dx: array<Element>; // [N, H, W, C]
@group(0) @binding(3) var<uniform> u: Uniforms;

// The first window along an axis that covers a padded coordinate.
fn first_window(at: u32, size: u32, stride: u32) -> u32 {
  return select(0u, (at - size) / stride + 1u, at >= size);
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
  let i = id.y * grid.x * LANES + id.x;
  if (i < u.count) {
    let pixel = i / u.channels;
    let c = i - pixel * u.channels;
    let row = pixel / u.width;
    let image = row / u.height;
    let h = row - image * u.height;
    let w = pixel - row * u.width;
    let here = Element(f32(h * u.width + w));
    let top = first_window(h + u.pad_y, u.size_y, u.stride_y);
    let left = first_window(w + u.pad_x, u.size_x, u.stride_x);
    let bottom = min((h + u.pad_y) / u.stride_y + 1u, u.out_height);
    let right = min((w + u.pad_x) / u.stride_x + 1u, u.out_width);
    var sum = Element(0.0);
    for (var ho = top; ho < bottom; ho++) {
      for (var wo = left; wo < right; wo++) {
        let at = ((image * u.out_height + ho) * u.out_width + wo) * u.channels + c;
        sum += select(Element(0.0), dy[at], positions[at] == here);
      }
    }
    dx[i] = sum;
  }
}
