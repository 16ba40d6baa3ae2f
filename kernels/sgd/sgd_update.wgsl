// v = momentum v + (factor g + decay w); w = w - rate v (PyTorch's SGD), for all tensors at once, in place;
// factor = min(1, clip_norm / norm), where the norm of all gradients comes from the partial sums of sgd_norm.wgsl.
//
// All tensors lie in one buffer, each from a block's begin on, with zeros up to the block's end; every block has its
// own rate and decay. A workgroup: blocks_each blocks, LANES vec4s at a time. Grid: groups of blocks.
//
// Measured on lavapipe, ResNet50 of width 16 (161 tensors, 1.5 M values): one dispatch a tensor 3.5x stock, this with
// copies of gradients and weights in and out 17x; without (places.ts) 19 ms instead of 40 on a machine of slow memory. All
// three read from textures instead of gradients alone (no AVX-512): 15 ms -> 7 to 9, at width 64 232 -> 98.
const LANES = 8u;
const BLOCK = 64u; // vec4s
const CLIP = false;
const GUARD = false; // stop for good at the first loss that is NaN or infinite

struct Uniforms {
  blocks: u32,
  blocks_each: u32,
  parts: u32, // vec4s of partial sums
  rate: f32,
  momentum: f32,
  clip_norm: f32,
}

//#texture
@group(0) @binding(0) var<storage, read> gradients: array<vec4<f32>>; // [blocks, BLOCK]
@group(0) @binding(1) var<storage, read> settings: array<vec2<f32>>; // [blocks] share of the rate, weight decay
@group(0) @binding(2) var<storage, read> partial_sums: array<vec4<f32>>; // [parts] sums of squares
@group(0) @binding(3) var<storage, read> loss: array<u32>; // [1] the bits of the step's loss, read where GUARD
//#texture
@group(0) @binding(4) var<storage, read_write> weights: array<vec4<f32>>; // [blocks, BLOCK]
//#texture
@group(0) @binding(5) var<storage, read_write> velocities: array<vec4<f32>>; // [blocks, BLOCK]
@group(0) @binding(6) var<storage, read_write> norm: array<f32>; // [1], written where CLIP
@group(0) @binding(7) var<storage, read_write> halted: array<u32>; // [1] 1 after a loss that was not finite
@group(0) @binding(8) var<uniform> u: Uniforms;

// Compilers may take it that floats are finite, so the bits are asked.
fn is_not_finite(bits: u32) -> bool {
  return (bits & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let group = workgroup.y * grid.x + workgroup.x;
  var factor = 1.0;
  if (CLIP) {
    var sums = vec4<f32>(0.0);
    for (var p = 0u; p < u.parts; p++) {
      sums += partial_sums[p];
    }
    let all = sqrt((sums.x + sums.y) + (sums.z + sums.w));
    let ratio = u.clip_norm / (all + 1e-6);
    factor = select(min(ratio, 1.0), ratio, is_not_finite(bitcast<u32>(all))); // min may lose NaN, see nan.wgsl
    if (group == 0u && lane == 0u) {
      norm[0] = all;
    }
  }
  var last = min(u.blocks, (group + 1u) * u.blocks_each);
  if (GUARD && (halted[0] == 1u || is_not_finite(loss[0]))) {
    last = 0u; // nothing is updated
    if (group == 0u && lane == 0u) {
      halted[0] = 1u;
    }
  }
  for (var block = group * u.blocks_each; block < last; block++) {
    let rate = u.rate * settings[block].x;
    let decay = settings[block].y;
    for (var j = lane; j < BLOCK; j += LANES) {
      let i = block * BLOCK + j;
      let w = weights[i];
      let v = fma(vec4<f32>(u.momentum), velocities[i], fma(vec4<f32>(factor), gradients[i], decay * w));
      velocities[i] = v;
      weights[i] = fma(vec4<f32>(-rate), v, w);
    }
  }
}
