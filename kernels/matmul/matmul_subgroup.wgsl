// y = f(a b + bias), or y += a b + bias, batch by batch, on adapters whose subgroups have LANES lanes (software: 8).
//
// Each lane computes TILE_P rows of one operand, p, times TILE_Q vec4s of the other, q, in registers. Every lane loads
// its own rows of p; q is loaded once by the lanes together and passed on by subgroupShuffle from a constant lane.
// SWAPPED = false: p is a, q is b; true: p is b, q is a, for few rows of a. Grid: x, folded into y = tiles, of p first;
// z = batches. K and what vec4s run along are multiples of 4. Tiles beyond an operand's end are not stored.
//
// Measured on lavapipe 22.3.6, two cores without AVX-512 at 65 GFLOP/s of peak, [864, 2048] x [2048, 768], GFLOP/s: from
// buffers 8x32 tile 9; from storage textures 4x32 41, 8x32 34, 4x8 26. Dead ends: what lies as [K, ..] copied so that the
// rows of a tile lie together (1.3 times as long; from buffers it paid), one operand in windows of a uniform buffer or in a
// sampled texture (twice as long as from buffers where the CPU has AVX-512).
// What would want padding, and has few k, goes by matmul_plain.wgsl. Unsettled, on a machine at about 0.6 of
// its speed: [96, 64] x [64, 192] by tiles of 6x32 to 12x48 takes 0.7 to 0.9 of 4x32 by timestamps, by the clock the same.
// y by fours and not by floats: [96, 64] x [64, 192] in 0.8 of the time, [288, 96] x [96, 288] in 0.87.
//#include "matmul_store.wgsl"
const LANES = 8u;
const TILE_P = 8u;
const TILE_Q = 8u;
const P_INNER = true; // p is [P, K], else [K, P]
const Q_INNER = false; // q is [Q, K], else [K, Q]
const SWAPPED = false;

struct Uniforms {
  p_count: u32, // P, without padding
  q_count: u32, // Q
  p_batches: u32, // batch i of y takes batch i mod this of p
  p_batch: u32, // vec4s from one batch of p to the next
  p_stride: u32, // vec4s from one row of p to the next
  q_batches: u32,
  q_batch: u32,
  q_stride: u32,
  k_steps: u32, // K / 4
  p_tiles: u32,
  first_batch: u32, // of this dispatch
  alpha: f32, // slope of leakyrelu
}

//#texture
@group(0) @binding(0) var<storage, read> p: array<vec4<f32>>; // [batches, P, K / 4] or [batches, K, P / 4]
//#texture
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>; // [batches, Q, K / 4] or [batches, K, Q / 4]
@group(0) @binding(5) var<uniform> u: Uniforms;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let batch = u.first_batch + group.z;
  let tile = group.y * groups.x + group.x;
  let q_tile = tile / u.p_tiles;
  let p_tile = tile - q_tile * u.p_tiles;
  let p_start = (p_tile * LANES + lane) * TILE_P;
  let q_start = q_tile * 4u * TILE_Q;
  var acc: array<vec4<f32>, TILE_P * TILE_Q>; // vec4s along q
  var f: array<vec4<f32>, 4u * TILE_Q>; // [k, TILE_Q], the same in all lanes
  var mine: array<vec4<f32>, 4u * TILE_Q / LANES>;
  var at_p: array<u32, TILE_P>;
  var at_q: array<u32, 4u * TILE_Q / LANES>;
  let p_base = (batch % u.p_batches) * u.p_batch;
  let q_base = (batch % u.q_batches) * u.q_batch;
  //#unroll
  for (var i = 0u; i < TILE_P; i++) {
    at_p[i] = p_base + select(p_start / 4u + i, (p_start + i) * u.p_stride, P_INNER);
  }
  //#unroll
  for (var r = 0u; r < 4u * TILE_Q / LANES; r++) {
    let i = r * LANES + lane;
    at_q[r] = q_base + select(q_start / 4u + i / TILE_Q * u.q_stride + i % TILE_Q, (q_start + i) * u.q_stride, Q_INNER);
  }
  let q_step = select(4u * u.q_stride, 1u, Q_INNER);
  // + 0, but not to lavapipe: it compiles a loop whose end depends on uniforms alone anew for their values, at each dispatch
  let k_steps = u.k_steps + (group.z >> 16u);
  for (var step = 0u; step < k_steps; step++) {
    //#unroll
    for (var r = 0u; r < 4u * TILE_Q / LANES; r++) {
      mine[r] = q[at_q[r]];
      at_q[r] += q_step;
    }
    if (Q_INNER) {
      //#unroll
      for (var j = 0u; j < TILE_Q; j++) {
        //#unroll
        for (var c = 0u; c < 4u; c++) {
          let v = subgroupShuffle(mine[(4u * j + c) / LANES], (4u * j + c) % LANES);
          f[j][c] = v.x;
          f[TILE_Q + j][c] = v.y;
          f[2u * TILE_Q + j][c] = v.z;
          f[3u * TILE_Q + j][c] = v.w;
        }
      }
    } else {
      //#unroll
      for (var i = 0u; i < 4u * TILE_Q; i++) {
        f[i] = subgroupShuffle(mine[i / LANES], i % LANES);
      }
    }
    if (P_INNER) {
      //#unroll
      for (var i = 0u; i < TILE_P; i++) {
        let v = p[at_p[i] + step];
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
        let v0 = p[at_p[i]];
        let v1 = p[at_p[i] + u.p_stride];
        let v2 = p[at_p[i] + 2u * u.p_stride];
        let v3 = p[at_p[i] + 3u * u.p_stride];
        at_p[i] += 4u * u.p_stride;
        //#unroll
        for (var c = 0u; c < 4u; c++) {
          //#unroll
          for (var j = 0u; j < TILE_Q; j++) {
            acc[(4u * i + c) * TILE_Q + j] = fma(vec4<f32>(v0[c]), f[j], acc[(4u * i + c) * TILE_Q + j]);
            acc[(4u * i + c) * TILE_Q + j] = fma(vec4<f32>(v1[c]), f[TILE_Q + j], acc[(4u * i + c) * TILE_Q + j]);
            acc[(4u * i + c) * TILE_Q + j] = fma(vec4<f32>(v2[c]), f[2u * TILE_Q + j], acc[(4u * i + c) * TILE_Q + j]);
            acc[(4u * i + c) * TILE_Q + j] = fma(vec4<f32>(v3[c]), f[3u * TILE_Q + j], acc[(4u * i + c) * TILE_Q + j]);
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
          if (row < u.q_count && column < u.p_count) {
            let sums = vec4<f32>(
              acc[4u * i * TILE_Q + j][c],
              acc[(4u * i + 1u) * TILE_Q + j][c],
              acc[(4u * i + 2u) * TILE_Q + j][c],
              acc[(4u * i + 3u) * TILE_Q + j][c],
            );
            store(sums, batch * u.q_count + row, column, u.p_count, u.alpha);
          }
        }
      }
    }
  } else {
    //#unroll
    for (var i = 0u; i < TILE_P; i++) {
      //#unroll
      for (var j = 0u; j < TILE_Q; j++) {
        let column = q_start + 4u * j;
        if (p_start + i < u.p_count && column < u.q_count) {
          store(acc[i * TILE_Q + j], batch * u.p_count + p_start + i, column, u.q_count, u.alpha);
        }
      }
    }
  }
}
