// partial_sums[first + p] = sum over chunk p of the squares of the gradients.
//
// Before sgd_update.wgsl, where the norm of the gradients is clipped. A workgroup: one chunk, which LANES invocations
// take in turn, then a tree. Grid: chunks. The division depends on the number of values alone.
const LANES = 8u;

struct Uniforms {
  count: u32, // vec4s
  chunk: u32, // vec4s of a chunk; the last ones may have fewer or none
  first: u32,
}

//#texture
@group(0) @binding(0) var<storage, read> gradients: array<vec4<f32>>; // [count]
@group(0) @binding(1) var<storage, read_write> partial_sums: array<f32>; // [chunks of all buffers]
@group(0) @binding(2) var<uniform> u: Uniforms;

var<workgroup> found: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
  let last = min(u.count, (workgroup.x + 1u) * u.chunk);
  var sums = vec4<f32>(0.0);
  for (var i = workgroup.x * u.chunk + lane; i < last; i += LANES) {
    sums = fma(gradients[i], gradients[i], sums);
  }
  found[lane] = (sums.x + sums.y) + (sums.z + sums.w);
  for (var span = LANES / 2u; span > 0u; span /= 2u) {
    workgroupBarrier();
    if (lane < span) {
      found[lane] += found[lane + span];
    }
  }
  if (lane == 0u) {
    partial_sums[u.first + workgroup.x] = found[0];
  }
}
