// The function of attention_fwd.wgsl for GPUs and clips of any length.
//
// A workgroup of 8 x 8 invocations computes 8 ROWS queries of one head against tiles of 8 ROWS keys. An invocation has
// ROWS neighbouring queries, the scores of every eighth key and the context of every eighth vec4 of channels; q, k,
// then v pass through workgroup memory 8 vec4s of channels at a time (15 KiB at ROWS 4). Clips of at most 8 ROWS frames
// take one tile. Grid: x, y = (clip, head, query tile). On lavapipe 22.3.6 0.3 of attention_fwd.wgsl (T 128, S 64).
const ROWS = 2u;
const VECS = 1u; // S / 32, rounded up
const MASKED = false;
const DROPOUT = false;
const LOWEST = -3.4028234e38; // of all numbers
const TILE = 8u * ROWS; // queries, and keys
const STRIDE = 9u; // of a row of 8 vec4s, against bank conflicts

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(1) var<storage, read> key_mask: array<i32>; // [B, T], 0 = masked
@group(0) @binding(2) var<storage, read_write> context: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>; // [B, A, T]
@group(0) @binding(4) var<uniform> u: Uniforms;

var<workgroup> q_tile: array<vec4<f32>, TILE * STRIDE>; // [query, channel]
var<workgroup> kv_tile: array<vec4<f32>, TILE * STRIDE>; // [key, channel]
var<workgroup> p_tile: array<f32, TILE * (TILE + 1u)>; // [query, key]
var<workgroup> tops: array<f32, TILE * 8u>; // [query, x]
var<workgroup> sums: array<f32, TILE * 8u>; // [query, x]
var<workgroup> keys: array<u32, 8>; // of each x in the tile

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
  let row = 3u * width;
  let base = clip * u.frames * row + head;

  var top: array<f32, ROWS>;
  var sum: array<f32, ROWS>;
  var s: array<f32, ROWS * ROWS>;
  var q: array<vec4<f32>, ROWS>;
  var acc: array<vec4<f32>, ROWS * VECS>;
  var has_key = !MASKED; // not whether the sum is 0, which scores of -infinity make too
  //#unroll
  for (var r = 0u; r < ROWS; r++) {
    top[r] = LOWEST;
  }
  for (var first_key = 0u; first_key < u.frames; first_key += TILE) {
    //#unroll
    for (var n = 0u; n < ROWS * ROWS; n++) {
      s[n] = 0.0;
    }
    for (var first_channel = 0u; first_channel < u.channels; first_channel += 8u) {
      let channel = first_channel + local.x;
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        let place = local.y + 8u * r;
        q_tile[place * STRIDE + local.x] = vec4<f32>(0.0);
        if (channel < u.channels && first + place < u.frames) {
          q_tile[place * STRIDE + local.x] = qkv[base + (first + place) * row + channel];
        }
        kv_tile[place * STRIDE + local.x] = vec4<f32>(0.0);
        if (channel < u.channels && first_key + place < u.frames) {
          kv_tile[place * STRIDE + local.x] = qkv[base + (first_key + place) * row + width + channel];
        }
      }
      workgroupBarrier();
      for (var c = 0u; c < 8u; c++) {
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          q[r] = q_tile[(local.y * ROWS + r) * STRIDE + c];
        }
        //#unroll
        for (var n = 0u; n < ROWS; n++) {
          let k = kv_tile[(local.x + 8u * n) * STRIDE + c];
          //#unroll
          for (var r = 0u; r < ROWS; r++) {
            s[r * ROWS + n] += dot(q[r], k);
          }
        }
      }
    }

    var attends: array<bool, ROWS>;
    var own_keys = 0u;
    //#unroll
    for (var n = 0u; n < ROWS; n++) {
      let key = first_key + local.x + 8u * n;
      attends[n] = key < u.frames;
      if (MASKED) {
        attends[n] = attends[n] && key_mask[clip * u.frames + min(key, u.frames - 1u)] != 0;
        own_keys += u32(attends[n]);
      }
    }
    if (MASKED && local.y == 0u) {
      keys[local.x] = own_keys;
    }
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      var own = LOWEST;
      //#unroll
      for (var n = 0u; n < ROWS; n++) {
        s[r * ROWS + n] = select(LOWEST, s[r * ROWS + n] * u.score_scale, attends[n]);
        own = max(own, s[r * ROWS + n]); // may lose NaN; exp(s - tile_top) has it
      }
      tops[(local.y * ROWS + r) * 8u + local.x] = own;
    }
    workgroupBarrier();
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      let query = local.y * ROWS + r;
      var tile_top = top[r];
      //#unroll
      for (var x = 0u; x < 8u; x++) {
        tile_top = max(tile_top, tops[query * 8u + x]);
      }
      let shrink = exp(top[r] - tile_top);
      top[r] = tile_top;
      sum[r] *= shrink;
      //#unroll
      for (var n = 0u; n < VECS; n++) {
        acc[r * VECS + n] *= shrink;
      }
      var own = 0.0;
      //#unroll
      for (var n = 0u; n < ROWS; n++) {
        let key = local.x + 8u * n;
        var p = select(0.0, exp(s[r * ROWS + n] - tile_top), attends[n]);
        own += p;
        if (DROPOUT) {
          let element = (pair * u.frames + first + query) * u.frames + first_key + key;
          let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element);
          p *= select(0.0, u.scale, keeps);
        }
        p_tile[query * (TILE + 1u) + key] = p;
      }
      sums[query * 8u + local.x] = own;
    }
    workgroupBarrier();
    //#unroll
    for (var r = 0u; r < ROWS; r++) {
      //#unroll
      for (var x = 0u; x < 8u; x++) {
        sum[r] += sums[(local.y * ROWS + r) * 8u + x];
      }
    }
    if (MASKED) {
      //#unroll
      for (var x = 0u; x < 8u; x++) {
        has_key = has_key | (keys[x] > 0u);
      }
    }
    let used = min(TILE, u.frames - first_key);
    //#unroll
    for (var n = 0u; n < VECS; n++) {
      let channel = 8u * n + local.x;
      workgroupBarrier();
      //#unroll
      for (var r = 0u; r < ROWS; r++) {
        let place = local.y + 8u * r;
        if (channel < u.channels && place < used) {
          kv_tile[place * STRIDE + local.x] = qkv[base + (first_key + place) * row + 2u * width + channel];
        }
      }
      workgroupBarrier();
      for (var key = 0u; key < used; key++) {
        let v = kv_tile[key * STRIDE + local.x];
        //#unroll
        for (var r = 0u; r < ROWS; r++) {
          let p = p_tile[(local.y * ROWS + r) * (TILE + 1u) + key];
          acc[r * VECS + n] = fma(vec4<f32>(p), v, acc[r * VECS + n]);
        }
      }
    }
  }
  //#unroll
  for (var r = 0u; r < ROWS; r++) {
    let query = first + local.y * ROWS + r;
    if (is_real && query < u.frames) {
      let share = select(0.0, 1.0 / sum[r], has_key);
      if (local.x == 0u) {
        log_sum_exp[pair * u.frames + query] = select(0.0, top[r] + log(sum[r]), has_key);
      }
      //#unroll
      for (var n = 0u; n < VECS; n++) {
        if (8u * n + local.x < u.channels) {
          context[(clip * u.frames + query) * width + head + 8u * n + local.x] = share * acc[r * VECS + n];
        }
      }
    }
  }
}
