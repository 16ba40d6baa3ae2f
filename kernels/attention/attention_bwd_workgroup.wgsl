// The gradients of attention_bwd_short.wgsl for GPUs and clips of any length, without atomics: workgroups with z = 0 own
// queries and give dq, those with z = 1 own keys and give dk and dv, as in attention_bwd.wgsl.
//
// A workgroup of 8 x 8 invocations owns 8 ROWS rows (queries or keys) of one head and walks over the others (keys or
// queries) in tiles of 8 ROWS. An invocation has ROWS neighbouring rows, every eighth other and every eighth vec4 of
// channels. With "a" the scores' side and "b" the other: s = a a', dp = b b' over rows and others, where queries come
// with (q, dc) and keys with (k, v); the gradients are ds a' and, for keys, p b'. Tiles pass through workgroup memory
// (15 KiB at ROWS 4). Clips of at most 8 ROWS frames take one tile. Grid: x, y = (clip, head, row tile), z = side.
// On lavapipe 22.3.6 0.4 of attention_bwd.wgsl (T 128, S 64).
const ROWS = 2u;
const VECS = 1u; // S / 32, rounded up
const MASKED = false;
const DROPOUT = false;
const TILE = 8u * ROWS;
const STRIDE = 9u; // of a row of 8 vec4s, against bank conflicts

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(1) var<storage, read> key_mask: array<i32>; // [B, T], 0 = masked
@group(0) @binding(2) var<storage, read> log_sum_exp: array<f32>; // [B, A, T]
@group(0) @binding(3) var<storage, read> context: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(4) var<storage, read> dcontext: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(5) var<storage, read_write> dqkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

var<workgroup> row_tile: array<vec4<f32>, TILE * STRIDE>; // [row, channel]
var<workgroup> other_tile: array<vec4<f32>, TILE * STRIDE>; // [other, channel]
var<workgroup> weights: array<f32, TILE * (TILE + 1u)>; // [row, other]: ds, then p
var<workgroup> deltas: array<f32, TILE * 8u>; // [query, x]: parts of dc . context

// A vec4 of q (part 0), k (1), v (2) or dc (3); zero outside.
fn value(part: u32, clip: u32, frame: u32, head: u32, channel: u32) -> vec4<f32> {
  if (frame >= u.frames || channel >= u.channels) {
    return vec4<f32>(0.0);
  }
  let place = clip * u.frames + frame;
  let width = u.heads * u.channels;
  if (part == 3u) {
    return dcontext[place * width + head + channel];
  }
  return qkv[(place * 3u + part) * width + head + channel];
}

@compute @workgroup_size(8, 8)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (u.frames + TILE - 1u) / TILE;
  let item = group.y * groups.x + group.x;
  let is_real = item < u.clips * u.heads * tiles;
  let pair = select(0u, item / tiles, is_real);
  let first = select(0u, item - pair * tiles, is_real) * TILE;
  let clip = pair / u.heads;
  let head = (pair - clip * u.heads) * u.channels;
  let width = u.heads * u.channels; // D / 4
  let owns_keys = group.z == 1u;
  let row_a = select(0u, 1u, owns_keys);
  let row_b = select(3u, 2u, owns_keys);
  let other_a = select(1u, 0u, owns_keys);
  let other_b = select(2u, 3u, owns_keys);

  var s: array<f32, ROWS * ROWS>;
  var dp: array<f32, ROWS * ROWS>;
  var own: array<vec4<f32>, ROWS>;
  var delta: array<f32, ROWS>;
  var acc_a: array<vec4<f32>, ROWS * VECS>; // dq or dk
  var acc_b: array<vec4<f32>, ROWS * VECS>; // dv
  for (var first_other = 0u; first_other < u.frames; first_other += TILE) {
    let first_query = select(first, first_other, owns_keys);
    //#unroll
    for (var n = 0u; n < ROWS * ROWS; n++) {
      s[n] = 0.0;
      dp[n] = 0.0;
    }
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      delta[r] = 0.0;
    }
    for (var first_channel = 0u; first_channel < u.channels; first_channel += 8u) {
      let channel = first_channel + local.x;
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        let place = local.y + 8u * r;
        row_tile[place * STRIDE + local.x] = value(row_a, clip, first + place, head, channel);
        other_tile[place * STRIDE + local.x] = value(other_a, clip, first_other + place, head, channel);
      }
      workgroupBarrier();
      for (var c = 0u; c < 8u; c++) {
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          own[r] = row_tile[(local.y * ROWS + r) * STRIDE + c];
        }
        //#unroll
        for (var n = 0u; n < ROWS; n++) {
          let other = other_tile[(local.x + 8u * n) * STRIDE + c];
          //#unroll
          for (var r = 0u; r < ROWS; r++) {
            s[r * ROWS + n] += dot(own[r], other);
          }
        }
      }
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        let place = local.y + 8u * r;
        let of_row = value(row_b, clip, first + place, head, channel);
        let of_other = value(other_b, clip, first_other + place, head, channel);
        row_tile[place * STRIDE + local.x] = of_row;
        other_tile[place * STRIDE + local.x] = of_other;
        if (channel < u.channels && first_query + place < u.frames) {
          let at = (clip * u.frames + first_query + place) * width + head + channel;
          delta[r] += dot(select(of_row, of_other, owns_keys), context[at]);
        }
      }
      workgroupBarrier();
      for (var c = 0u; c < 8u; c++) {
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          own[r] = row_tile[(local.y * ROWS + r) * STRIDE + c];
        }
        //#unroll
        for (var n = 0u; n < ROWS; n++) {
          let other = other_tile[(local.x + 8u * n) * STRIDE + c];
          //#unroll
          for (var r = 0u; r < ROWS; r++) {
            dp[r * ROWS + n] += dot(own[r], other);
          }
        }
      }
    }
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      deltas[(local.y + 8u * r) * 8u + local.x] = delta[r];
    }
    workgroupBarrier();
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      //#unroll
      for (var n = 0u; n < ROWS; n++) {
        let row = local.y * ROWS + r;
        let other = local.x + 8u * n;
        let query = select(row, other, owns_keys); // in the tile
        let i = first_query + query;
        let j = select(first_other + other, first + row, owns_keys);
        var weighted = 0.0; // sum of p dp over the keys
        //#unroll
        for (var x = 0u; x < 8u; x++) {
          weighted += deltas[query * 8u + x];
        }
        var attends = i < u.frames && j < u.frames;
        if (MASKED) {
          attends = attends && key_mask[clip * u.frames + min(j, u.frames - 1u)] != 0;
        }
        let total = log_sum_exp[pair * u.frames + min(i, u.frames - 1u)];
        let p = select(0.0, exp(fma(s[r * ROWS + n], u.score_scale, -total)), attends);
        var factor = 1.0;
        if (DROPOUT) {
          let element = (pair * u.frames + i) * u.frames + j;
          let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element);
          factor = select(0.0, u.scale, keeps);
        }
        s[r * ROWS + n] = p * factor;
        weights[row * (TILE + 1u) + other] = p * (dp[r * ROWS + n] * factor - weighted) * u.score_scale; // ds
      }
    }
    let used = min(TILE, u.frames - first_other);
    //#unroll
    for (var n = 0u; n < VECS; n++) {
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        let place = local.y + 8u * r;
        other_tile[place * STRIDE + local.x] = value(other_a, clip, first_other + place, head, 8u * n + local.x);
      }
      workgroupBarrier();
      for (var other = 0u; other < used; other++) {
        let v = other_tile[other * STRIDE + local.x];
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          let ds = weights[(local.y * ROWS + r) * (TILE + 1u) + other];
          acc_a[r * VECS + n] = fma(vec4<f32>(ds), v, acc_a[r * VECS + n]);
        }
      }
    }
    if (owns_keys) {
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        //#unroll
        for (var n = 0u; n < ROWS; n++) {
          weights[(local.y * ROWS + r) * (TILE + 1u) + local.x + 8u * n] = s[r * ROWS + n];
        }
      }
      //#unroll
      for (var n = 0u; n < VECS; n++) {
        workgroupBarrier();
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          let place = local.y + 8u * r;
          other_tile[place * STRIDE + local.x] = value(other_b, clip, first_other + place, head, 8u * n + local.x);
        }
        workgroupBarrier();
        for (var other = 0u; other < used; other++) {
          let v = other_tile[other * STRIDE + local.x];
          //#unroll
          for (var r = 0u; r < ROWS; r++) {
            let p = weights[(local.y * ROWS + r) * (TILE + 1u) + other];
            acc_b[r * VECS + n] = fma(vec4<f32>(p), v, acc_b[r * VECS + n]);
          }
        }
      }
    }
  }
  //#unroll
  for (var r = 0u; r < ROWS; r++) {
    let frame = first + local.y * ROWS + r;
    //#unroll
    for (var n = 0u; n < VECS; n++) {
      let channel = 8u * n + local.x;
      if (is_real && frame < u.frames && channel < u.channels) {
        let at = (clip * u.frames + frame) * 3u * width + head + channel;
        if (owns_keys) {
          dqkv[at + width] = acc_a[r * VECS + n];
          dqkv[at + 2u * width] = acc_b[r * VECS + n];
        } else {
          dqkv[at] = acc_a[r * VECS + n];
        }
      }
    }
  }
}
