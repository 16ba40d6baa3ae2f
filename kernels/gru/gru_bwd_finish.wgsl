// What both backward kernels share: the bindings, and the end of a step once the gradient from the step after is summed.
// s is the step in the order of forward's computation, t the frame: t = s forwards, T - 1 - s backwards in time.

struct Uniforms {
  clips: u32, // B
  frames: u32, // T
  units: u32, // G / 4
  directions: u32,
  after: u32, // first s + 1 of this dispatch; T: there is no step after; 0: only the initial state's gradient is left
  steps: u32, // of this dispatch
}

//#texture
@group(0) @binding(0) var<storage, read> hidden_weight: array<vec4<f32>>; // [directions, G, 3, G / 4] U
//#texture
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>; // [B, T, directions, G / 4]
//#texture
@group(0) @binding(2) var<storage, read> gates: array<vec4<f32>>; // [B, T, directions, 4, G / 4] r, z, n, (U h + b_h)_n
//#texture
@group(0) @binding(3) var<storage, read> previous: array<vec4<f32>>; // [directions, T, B, G / 4] h before step s
@group(0) @binding(4) var<storage, read_write> d_recurrent: array<vec4<f32>>; // [directions, T, B, 3, G / 4] of U h + b_h
@group(0) @binding(5) var<storage, read_write> d_projected: array<vec4<f32>>; // [B, T, directions, 3, G / 4] of x W + b_in
@group(0) @binding(6) var<storage, read_write> d_state: array<vec4<f32>>; // [directions, B, G / 4] of h, without U's part
@group(0) @binding(7) var<uniform> u: Uniforms;

/// Vec4s of the gradient that comes through U from the step after; 0 at the last step.
fn gradient_length(after: u32) -> u32 {
  return select(0u, 3u * u.units, after < u.frames);
}

/// Where a clip's gradient of the step after begins.
fn gradient_at(after: u32, direction: u32, clip: u32) -> u32 {
  return 3u * ((direction * u.frames + min(after, u.frames - 1u)) * u.clips + clip) * u.units;
}

/// Ends step s for four units of a clip, whose gradient through U from the step after is given.
fn finish(after: u32, direction: u32, clip: u32, unit: u32, sum: vec4<f32>) {
  let state = (direction * u.clips + clip) * u.units + unit;
  var dh = sum;
  if (after < u.frames) {
    dh += d_state[state];
  }
  if (after == 0u) {
    d_state[state] = dh;
  } else {
    let s = after - 1u;
    let t = select(s, u.frames - 1u - s, direction == 1u);
    let row = (clip * u.frames + t) * u.directions + direction;
    let g = 4u * row * u.units + unit;
    let r = gates[g];
    let z = gates[g + u.units];
    let n = gates[g + 2u * u.units];
    let q = gates[g + 3u * u.units];
    let slot = (direction * u.frames + s) * u.clips + clip;
    let h = previous[slot * u.units + unit];
    dh += dy[row * u.units + unit];
    let dn = dh * (1.0 - z) * (1.0 - n * n);
    let dz = dh * (h - n) * z * (1.0 - z);
    let dr = dn * q * r * (1.0 - r);
    d_state[state] = dh * z;
    let p = 3u * row * u.units + unit;
    d_projected[p] = dr;
    d_projected[p + u.units] = dz;
    d_projected[p + 2u * u.units] = dn;
    let a = 3u * slot * u.units + unit;
    d_recurrent[a] = dr;
    d_recurrent[a + u.units] = dz;
    d_recurrent[a + 2u * u.units] = dn * r;
  }
}
