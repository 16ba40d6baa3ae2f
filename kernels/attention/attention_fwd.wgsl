// context[b, i, a] = sum over j of p[i, j] v[b, j, a],  p[i, .] = softmax over j of q[b, i, a] . k[b, j, a] / sqrt(S)
//
// A masked key has p = 0; a row without any key gives zeros. Dropout multiplies p by 0 or 1 / (1 - rate). Tiles of
// TILE_K keys with the online softmax (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"; tiled
// as in Dao et al. 2022, "FlashAttention", algorithm 1). One invocation computes TILE_Q queries of one head, in one
// tile where TILE_K >= T; the context is summed up in its buffer. Grid: x, y = (clip, head, query tile) / 8. Forward
// saves q, k, v, the context and the log-sum-exp. No workgroup memory, no barrier, no early return.
//
// Measured on lavapipe 22.3.6, two cores: T 9, B 96, A 12, S 64: 3x9 tile 1, 9x9 0.9 (four times as long to compile),
// 4x16 0.6; T 128, S 64: 4x16 1, 8x4 0.6, 8x16 1.1 (thrice as long to compile). Dead ends: the context of long clips in
// registers (0.9, eight times as long to compile: 512 fma at S 64), the same with a dynamic index (19 s to compile).
const TILE_Q = 4u;
const TILE_K = 4u;
const MASKED = false;
const DROPOUT = false;
const LOWEST = -3.4028234e38; // of all numbers

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

//#texture
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(1) var<storage, read> key_mask: array<i32>; // [B, T], 0 = masked
@group(0) @binding(2) var<storage, read_write> context: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>; // [B, A, T]
@group(0) @binding(4) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (u.frames + TILE_Q - 1u) / TILE_Q;
  let item = (group.y * groups.x + group.x) * 8u + local.x;
  let is_real = item < u.clips * u.heads * tiles;
  let pair = select(0u, item / tiles, is_real);
  let first = select(0u, item - pair * tiles, is_real) * TILE_Q;
  let clip = pair / u.heads;
  let head = (pair - clip * u.heads) * u.channels;
  let width = u.heads * u.channels; // D / 4
  let row = 3u * width;
  let last = u.frames - 1u;
  let keys = clip * u.frames * row + width + head;

  var queries: array<u32, TILE_Q>; // where q[i] begins
  var out: array<u32, TILE_Q>; // where its context begins
  var top: array<f32, TILE_Q>;
  var sum: array<f32, TILE_Q>;
  //#unroll
  for (var i = 0u; i < TILE_Q; i++) {
    queries[i] = (clip * u.frames + min(first + i, last)) * row + head;
    out[i] = (clip * u.frames + min(first + i, last)) * width + head;
    top[i] = LOWEST;
  }
  var shrink: array<f32, TILE_Q>; // of the context so far
  var grow: array<f32, TILE_Q>; // in the last tile: 1 / sum
  var q: array<vec4<f32>, TILE_Q>;
  var s: array<f32, TILE_Q * TILE_K>;
  var at: array<u32, TILE_K>;
  var attends: array<bool, TILE_K>;
  var has_key = !MASKED; // not whether the sum is 0, which scores of -infinity make too
  for (var first_key = 0u; first_key < u.frames; first_key += TILE_K) {
    //#unroll
    for (var j = 0u; j < TILE_K; j++) {
      at[j] = keys + min(first_key + j, last) * row;
      attends[j] = first_key + j < u.frames;
      if (MASKED) {
        attends[j] = attends[j] && key_mask[clip * u.frames + min(first_key + j, last)] != 0;
        has_key = has_key | attends[j];
      }
    }
    //#unroll
    for (var n = 0u; n < TILE_Q * TILE_K; n++) {
      s[n] = 0.0;
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var i = 0u; i < TILE_Q; i++) {
        q[i] = qkv[queries[i] + c];
      }
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        let k = qkv[at[j] + c];
        //#unroll
        for (var i = 0u; i < TILE_Q; i++) {
          s[i * TILE_K + j] = fma(q[i].x, k.x, s[i * TILE_K + j]);
          s[i * TILE_K + j] = fma(q[i].y, k.y, s[i * TILE_K + j]);
          s[i * TILE_K + j] = fma(q[i].z, k.z, s[i * TILE_K + j]);
          s[i * TILE_K + j] = fma(q[i].w, k.w, s[i * TILE_K + j]);
        }
      }
    }
    //#unroll
    for (var i = 0u; i < TILE_Q; i++) {
      var tile_top = top[i];
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        s[i * TILE_K + j] = select(LOWEST, s[i * TILE_K + j] * u.score_scale, attends[j]);
        tile_top = max(tile_top, s[i * TILE_K + j]); // may lose NaN; exp(s - tile_top) has it
      }
      shrink[i] = exp(top[i] - tile_top);
      top[i] = tile_top;
      sum[i] *= shrink[i];
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        s[i * TILE_K + j] = select(0.0, exp(s[i * TILE_K + j] - tile_top), attends[j]);
        sum[i] += s[i * TILE_K + j];
        if (DROPOUT) {
          let element = (pair * u.frames + first + i) * u.frames + first_key + j;
          let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element);
          s[i * TILE_K + j] *= select(0.0, u.scale, keeps);
        }
      }
    }
    //#unroll
    for (var i = 0u; i < TILE_Q; i++) {
      let share = select(0.0, 1.0 / sum[i], has_key);
      grow[i] = select(1.0, share, first_key + TILE_K >= u.frames);
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var i = 0u; i < TILE_Q; i++) {
        q[i] = select(vec4<f32>(0.0), shrink[i] * context[out[i] + c], first_key > 0u); // the context
      }
      //#unroll
      for (var j = 0u; j < TILE_K; j++) {
        let v = qkv[at[j] + width + c];
        //#unroll
        for (var i = 0u; i < TILE_Q; i++) {
          q[i] = fma(vec4<f32>(s[i * TILE_K + j]), v, q[i]);
        }
      }
      //#unroll
      for (var i = 0u; i < TILE_Q; i++) {
        if (is_real && first + i < u.frames) {
          context[out[i] + c] = grow[i] * q[i];
        }
      }
    }
  }
  //#unroll
  for (var i = 0u; i < TILE_Q; i++) {
    if (is_real && first + i < u.frames) {
      log_sum_exp[pair * u.frames + first + i] = select(0.0, top[i] + log(sum[i]), has_key);
    }
  }
}
