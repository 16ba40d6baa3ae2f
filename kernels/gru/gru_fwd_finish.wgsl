// What both forward kernels share: the bindings, and the end of a step once U h is summed.
// s is the step in the order of computation, t the frame: t = s forwards, T - 1 - s backwards in time.

struct Uniforms {
  clips: u32, // B
  frames: u32, // T
  units: u32, // G / 4
  directions: u32,
  step: u32, // first s of this dispatch
  steps: u32, // of this dispatch
  initial: u32, // 1: there is an initial state, in slot 0 of previous
}

//#texture
@group(0) @binding(0) var<storage, read> projected: array<vec4<f32>>; // [B, T, directions, 3, G / 4] x W + b_in
//#texture
@group(0) @binding(1) var<storage, read> hidden_weight: array<vec4<f32>>; // [directions, G, 3, G / 4] U
@group(0) @binding(2) var<storage, read> hidden_bias: array<vec4<f32>>; // [directions, 3, G / 4] b_h
@group(0) @binding(3) var<storage, read_write> previous: array<vec4<f32>>; // [directions, T, B, G / 4] h before step s
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [B, T, directions, G / 4]
@group(0) @binding(5) var<storage, read_write> gates: array<vec4<f32>>; // [B, T, directions, 4, G / 4] r, z, n, (U h + b_h)_n
@group(0) @binding(6) var<uniform> u: Uniforms;

/// Vec4s of the state that step s reads; 0 at the first step where there is no initial state.
fn state_length(s: u32) -> u32 {
  return select(0u, u.units, s > 0u || u.initial == 1u);
}

/// Where the state of a clip before step s begins.
fn state_at(s: u32, direction: u32, clip: u32) -> u32 {
  return ((direction * u.frames + s) * u.clips + clip) * u.units;
}

/// Neither overflows: exp only sees what is not positive.
fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
  let e = exp(-abs(x));
  return select(e, vec4<f32>(1.0), x >= vec4<f32>(0.0)) / (1.0 + e);
}

fn tanh4(x: vec4<f32>) -> vec4<f32> {
  let e = exp(-2.0 * abs(x));
  return sign(x) * (1.0 - e) / (1.0 + e);
}

/// Ends step s for four units of a clip, whose sums (U h)_r, (U h)_z, (U h)_n are given.
fn finish(s: u32, direction: u32, clip: u32, unit: u32, sum_r: vec4<f32>, sum_z: vec4<f32>, sum_n: vec4<f32>) {
  let t = select(s, u.frames - 1u - s, direction == 1u);
  let row = (clip * u.frames + t) * u.directions + direction;
  let p = 3u * row * u.units + unit;
  let b = 3u * direction * u.units + unit;
  let r = sigmoid4(projected[p] + sum_r + hidden_bias[b]);
  let z = sigmoid4(projected[p + u.units] + sum_z + hidden_bias[b + u.units]);
  let q = sum_n + hidden_bias[b + 2u * u.units];
  let n = tanh4(projected[p + 2u * u.units] + r * q);
  let before = state_at(s, direction, clip) + unit;
  var h = vec4<f32>(0.0);
  if (state_length(s) > 0u) {
    h = previous[before];
  } else {
    previous[before] = h;
  }
  let after = n + z * (h - n);
  if (s + 1u < u.frames) {
    previous[before + u.clips * u.units] = after;
  }
  y[row * u.units + unit] = after;
  let g = 4u * row * u.units + unit;
  gates[g] = r;
  gates[g + u.units] = z;
  gates[g + 2u * u.units] = n;
  gates[g + 3u * u.units] = q;
}
