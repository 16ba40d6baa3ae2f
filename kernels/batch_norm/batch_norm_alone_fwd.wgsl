// y = relu(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual), with the batch's mean and variance.
//
// The only dispatch in training where there are few rows: LANES_M invocations take the rows of WIDE elements, LANES_C apart,
// in turn, and their moments together, then normalise them. The rest as in batch_norm_fwd.wgsl. Grid: c / WIDE, in
// elements.
//
// Measured on lavapipe 22.3.6, two cores without AVX-512, forward and backward, by the clock, this and
// batch_norm_alone_bwd.wgsl against two dispatches each: [144, 256] 0.5 to 0.6 of the time, [576, 32] 0.6 to 0.7, [576, 128]
// 0.6 to 0.9, [2304, 16] 0.7 to 0.9, [2304, 64] 0.7, with a residual too. [6272, 64] 0.9, with a residual 1.2, [25088, 64]
// 1.1 and 1.3. A training step of the small ResNet50 0.85. Rows over lanes (LANES_M 2, 4, 8): 1.3, 1.9, 2.7 times as long.
//#include "elements.wgsl"
//#include "nan.wgsl"
//#include "batch_norm_moments.wgsl"
//#include "batch_norm_columns.wgsl"
const RELU = true;
const RESIDUAL = false;

struct Uniforms {
  rows: u32, // M = N H W
  channels: u32, // C / width of an element
  epsilon: f32,
  momentum: f32,
}

//#texture
@group(0) @binding(1) var<storage, read> residual: array<Element>; // [M, C]; x itself where there is none
@group(0) @binding(2) var<storage, read> gamma: array<Element>; // [C]
@group(0) @binding(3) var<storage, read> beta: array<Element>; // [C]
@group(0) @binding(4) var<storage, read_write> y: array<Element>; // [M, C]
@group(0) @binding(5) var<storage, read_write> saved: array<Element>; // [4, C] mean, inverse deviation, scale, beta
@group(0) @binding(6) var<storage, read_write> running_mean: array<Element>; // [C]
@group(0) @binding(7) var<storage, read_write> running_variance: array<Element>; // [C]
@group(0) @binding(8) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES_C, LANES_M)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
) {
  let column = (workgroup.y * grid.x + workgroup.x) * LANES_C + local.x;
  let c = column / LANES_C * LANES_C * WIDE + column % LANES_C;
  // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values
  let last = u.rows + (workgroup.z >> 16u);
  var all = array<Moments, WIDE>(); // all 0
  if (c < u.channels) {
    all = column_moments(u.channels, c, LANES_C, local.y, last, LANES_M);
  }
  if (LANES_M > 1u) {
    all[0] = merge_rows(all[0], local.xy);
  }
  if (c < u.channels) {
    var mean = array<Element, WIDE>();
    var scale = array<Element, WIDE>();
    var shift = array<Element, WIDE>();
    //#unroll
    for (var k = 0u; k < WIDE; k++) {
      let channel = c + k * LANES_C;
      let count = f32(u.rows);
      let inverse = inverseSqrt(all[k].squares / count + u.epsilon);
      mean[k] = x[channel] + all[k].mean;
      scale[k] = gamma[channel] * inverse;
      shift[k] = beta[channel];
      if (local.y == 0u) {
        saved[channel] = mean[k];
        saved[u.channels + channel] = inverse;
        saved[2u * u.channels + channel] = scale[k];
        saved[3u * u.channels + channel] = shift[k];
        running_mean[channel] = mix(running_mean[channel], mean[k], Element(u.momentum));
        let unbiased = all[k].squares / max(count - 1.0, 1.0);
        running_variance[channel] = mix(running_variance[channel], unbiased, Element(u.momentum));
      }
    }
    for (var m = local.y; m < last; m += LANES_M) {
      //#unroll
      for (var k = 0u; k < WIDE; k++) {
        let at = m * u.channels + c + k * LANES_C;
        var value = fma(x[at] - mean[k], scale[k], shift[k]);
        if (RESIDUAL) {
          value += residual[at];
        }
        if (RELU) {
          value = vec4_to_element(relu4(element_to_vec4(value)));
        }
        y[at] = value;
      }
    }
  }
}
