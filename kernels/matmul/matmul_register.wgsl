// y = f(a b + bias), or y += a b + bias, batch by batch: one operand, p, is read by each lane for itself, the other, q, by
// the whole workgroup through a uniform window of at most 64 KiB (see program.ts).
//
// One invocation computes TILE_P rows of p times TILE_Q vec4s of q in registers. SWAPPED = false: p is a and q is b;
// true: p is b and q is a, for few rows of a. Grid: x = tiles of p, y = tiles of q in the window, z = batches. What is
// beyond the window takes more dispatches, over other tiles, batches, or over other k, adding to y. Tiles that
// reach beyond an operand read what lies there and don't store it. No workgroup memory, no barrier, no early return.
//
// Measured on lavapipe 22.3.6, core-seconds: half the time goes into loads of p (1 ns a float: lane by lane), so wide
// tiles of q pay until the registers spill: 16x16 and 8x32 are equal, 16x32, 12x32, 8x48 no better, 4x64 a quarter slower.
// Dead end: p through a uniform window as well (lanes gather; 10 % faster, but windows everywhere).
//#include "activation.wgsl"
const TILE_P = 16u;
const TILE_Q = 4u;
const P_INNER = true; // p is [P, K], else [K, P]
const Q_INNER = false; // q is [Q, K], else [K, Q]
const SWAPPED = false;
const ODD = false; // y's columns are no multiple of 4
const BIAS = false;
const PRELU = false;

struct Uniforms {
  p_count: u32, // P: rows of p in y
  q_count: u32, // Q
  p_batches: u32, // batch i of y takes batch i mod this of p
  p_batch: u32, // vec4s from one batch of p to the next
  p_stride: u32, // vec4s from one row of p to the next
  p_first: u32, // vec4 of p's first k in this dispatch
  q_batch: u32, // vec4s from one batch of the window to the next; 0: all take the same
  q_stride: u32, // vec4s from one row of the window to the next
  q_tile: u32, // vec4s from one tile of the window to the next
  q_first: u32, // first of Q in this dispatch
  q_last: u32, // exclusive
  k_steps: u32, // of this dispatch, four k each
  first_batch: u32,
  add: u32, // 1: add to y
  finish: u32, // 1: the last k: bias and activation
  alpha: f32, // slope of leakyrelu
}

@group(0) @binding(0) var<storage, read> p: array<vec4<f32>>; // [batches, P, K / 4] or [batches, K, P / 4]
@group(0) @binding(1) var<uniform> q_window: array<vec4<f32>, 4096>; // part of [batches, Q, K / 4] or [batches, K, Q / 4]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [N]; unused without BIAS
@group(0) @binding(3) var<storage, read> prelu: array<f32>; // [N]; unused without PRELU
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [batches, P, Q], or [batches, Q, P] if SWAPPED
@group(0) @binding(5) var<uniform> u: Uniforms;

// four values beside each other; those at and beyond `last` are not stored
fn store(sums: vec4<f32>, at: u32, column: u32, last: u32) {
  var result = sums;
  if (u.add == 1u) {
    result += vec4<f32>(y[at], y[at + 1u], y[at + 2u], y[at + 3u]);
  }
  if (u.finish == 1u) {
    if (BIAS) {
      result += vec4<f32>(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
    }
    var slope = vec4<f32>(u.alpha);
    if (PRELU) {
      slope = vec4<f32>(prelu[column], prelu[column + 1u], prelu[column + 2u], prelu[column + 3u]);
    }
    result = activate(result, slope);
  }
  if (ODD) {
    //#unroll
    for (var c = 0u; c < 4u; c++) {
      if (column + c < last) {
        y[at + c] = result[c];
      }
    }
  } else {
    y[at] = result.x;
    y[at + 1u] = result.y;
    y[at + 2u] = result.z;
    y[at + 3u] = result.w;
  }
}

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
  let batch = u.first_batch + group.z;
  let p_start = id.x * TILE_P;
  let q_start = u.q_first + group.y * 4u * TILE_Q;
  var acc: array<vec4<f32>, TILE_P * TILE_Q>; // vec4s along q
  var f: array<vec4<f32>, 4u * TILE_Q>; // [k, TILE_Q]
  var at: array<u32, TILE_P>;
  let p_base = (batch % u.p_batches) * u.p_batch + u.p_first;
  //#unroll
  for (var i = 0u; i < TILE_P; i++) {
    at[i] = p_base + select(p_start / 4u + i, (p_start + i) * u.p_stride, P_INNER);
  }
  var entry = group.z * u.q_batch + group.y * u.q_tile;
  for (var step = 0u; step < u.k_steps; step++) {
    if (Q_INNER) {
      //#unroll
      for (var j = 0u; j < TILE_Q; j++) {
        let row = entry + 4u * j * u.q_stride;
        let w0 = q_window[row];
        let w1 = q_window[row + u.q_stride];
        let w2 = q_window[row + 2u * u.q_stride];
        let w3 = q_window[row + 3u * u.q_stride];
        f[j] = vec4<f32>(w0.x, w1.x, w2.x, w3.x);
        f[TILE_Q + j] = vec4<f32>(w0.y, w1.y, w2.y, w3.y);
        f[2u * TILE_Q + j] = vec4<f32>(w0.z, w1.z, w2.z, w3.z);
        f[3u * TILE_Q + j] = vec4<f32>(w0.w, w1.w, w2.w, w3.w);
      }
      entry += 1u;
    } else {
      //#unroll
      for (var k = 0u; k < 4u; k++) {
        //#unroll
        for (var j = 0u; j < TILE_Q; j++) {
          f[k * TILE_Q + j] = q_window[entry + j];
        }
        entry += u.q_stride;
      }
    }
    if (P_INNER) {
      //#unroll
      for (var i = 0u; i < TILE_P; i++) {
        let v = p[at[i] + step];
        //#unroll
        for (var j = 0u; j < TILE_Q; j++) {
          acc[i * TILE_Q + j] = fma(vec4<f32>(v.x), f[j], acc[i * TILE_Q + j]);
          acc[i * TILE_Q + j] = fma(vec4<f32>(v.y), f[TILE_Q + j], acc[i * TILE_Q + j]);
          acc[i * TILE_Q + j] = fma(vec4<f32>(v.z), f[2u * TILE_Q + j], acc[i * TILE_Q + j]);
          acc[i * TILE_Q + j] = fma(vec4<f32>(v.w), f[3u * TILE_Q + j], acc[i * TILE_Q + j]);
        }
      }
    } else {
      //#unroll
      for (var i = 0u; i < TILE_P / 4u; i++) {
        //#unroll
        for (var k = 0u; k < 4u; k++) {
          let v = p[at[i]];
          at[i] += u.p_stride;
          //#unroll
          for (var j = 0u; j < TILE_Q; j++) {
            acc[4u * i * TILE_Q + j] = fma(vec4<f32>(v.x), f[k * TILE_Q + j], acc[4u * i * TILE_Q + j]);
            acc[(4u * i + 1u) * TILE_Q + j] = fma(vec4<f32>(v.y), f[k * TILE_Q + j], acc[(4u * i + 1u) * TILE_Q + j]);
            acc[(4u * i + 2u) * TILE_Q + j] = fma(vec4<f32>(v.z), f[k * TILE_Q + j], acc[(4u * i + 2u) * TILE_Q + j]);
            acc[(4u * i + 3u) * TILE_Q + j] = fma(vec4<f32>(v.w), f[k * TILE_Q + j], acc[(4u * i + 3u) * TILE_Q + j]);
          }
        }
      }
    }
  }
  if (SWAPPED) {
    //#unroll
    for (var i = 0u; i < TILE_P / 4u; i++) {
      let column = p_start + 4u * i;
      //#unroll
      for (var j = 0u; j < TILE_Q; j++) {
        //#unroll
        for (var c = 0u; c < 4u; c++) {
          let row = q_start + 4u * j + c;
          if (row < u.q_last && column < u.p_count) {
            let sums = vec4<f32>(
              acc[4u * i * TILE_Q + j][c],
              acc[(4u * i + 1u) * TILE_Q + j][c],
              acc[(4u * i + 2u) * TILE_Q + j][c],
              acc[(4u * i + 3u) * TILE_Q + j][c],
            );
            store(sums, (batch * u.q_count + row) * u.p_count + column, column, u.p_count);
          }
        }
      }
    }
  } else {
    //#unroll
    for (var i = 0u; i < TILE_P; i++) {
      let row = p_start + i;
      //#unroll
      for (var j = 0u; j < TILE_Q; j++) {
        let column = q_start + 4u * j;
        if (row < u.p_count && column < u.q_last) {
          store(acc[i * TILE_Q + j], (batch * u.p_count + row) * u.q_count + column, column, u.q_last);
        }
      }
    }
  }
}
