// context[b, i, a] = sum over j of p[i, j] v[b, j, a],  p[i, .] = softmax over j of q[b, i, a] . k[b, j, a] / sqrt(S)
//
// For clips of at most KEYS frames. One invocation computes TILE_Q queries of one head against all keys: the scores
// stay in registers. A masked key has p = 0; a row without any key gives zeros. Dropout multiplies p by 0 or
// 1 / (1 - rate). Grid: x, y = (clip, head, query tile) / 8. Forward saves q, k, v, the context and the log-sum-exp.
// No workgroup memory, no barrier, no early return.
const TILE_Q = 3u;
const KEYS = 9u; // at least T
const MASKED = false;
const DROPOUT = false;
const LOWEST = -3.0e38;

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

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
  let last = u.frames - 1u;
  let keys = clip * u.frames * 3u * width + width + head;

  var queries: array<u32, TILE_Q>; // where q[i] begins
  var s: array<f32, TILE_Q * KEYS>;
  //#unroll
  for (var i = 0u; i < TILE_Q; i++) {
    queries[i] = (clip * u.frames + min(first + i, last)) * 3u * width + head;
  }
  var q: array<vec4<f32>, TILE_Q>;
  for (var c = 0u; c < u.channels; c++) {
    //#unroll
    for (var i = 0u; i < TILE_Q; i++) {
      q[i] = qkv[queries[i] + c];
    }
    //#unroll
    for (var j = 0u; j < KEYS; j++) {
      let k = qkv[keys + min(j, last) * 3u * width + c];
      //#unroll
      for (var i = 0u; i < TILE_Q; i++) {
        s[i * KEYS + j] = fma(q[i].x, k.x, s[i * KEYS + j]);
        s[i * KEYS + j] = fma(q[i].y, k.y, s[i * KEYS + j]);
        s[i * KEYS + j] = fma(q[i].z, k.z, s[i * KEYS + j]);
        s[i * KEYS + j] = fma(q[i].w, k.w, s[i * KEYS + j]);
      }
    }
  }

  var attends: array<bool, KEYS>;
  //#unroll
  for (var j = 0u; j < KEYS; j++) {
    attends[j] = j < u.frames;
    if (MASKED) {
      attends[j] = attends[j] && key_mask[clip * u.frames + min(j, last)] != 0;
    }
  }
  //#unroll
  for (var i = 0u; i < TILE_Q; i++) {
    var top = LOWEST;
    //#unroll
    for (var j = 0u; j < KEYS; j++) {
      s[i * KEYS + j] = select(LOWEST, s[i * KEYS + j] * u.score_scale, attends[j]);
      top = max(top, s[i * KEYS + j]);
    }
    var sum = 0.0;
    //#unroll
    for (var j = 0u; j < KEYS; j++) {
      s[i * KEYS + j] = select(0.0, exp(s[i * KEYS + j] - top), attends[j]);
      sum += s[i * KEYS + j];
    }
    let has_key = sum > 0.0;
    let share = select(0.0, 1.0 / sum, has_key);
    if (is_real && first + i < u.frames) {
      log_sum_exp[pair * u.frames + first + i] = select(0.0, top + log(sum), has_key);
    }
    //#unroll
    for (var j = 0u; j < KEYS; j++) {
      s[i * KEYS + j] *= share;
      if (DROPOUT) {
        let element = (pair * u.frames + first + i) * u.frames + j;
        let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element);
        s[i * KEYS + j] *= select(0.0, u.scale, keeps);
      }
    }
  }

  var acc: array<vec4<f32>, TILE_Q>;
  for (var c = 0u; c < u.channels; c++) {
    //#unroll
    for (var i = 0u; i < TILE_Q; i++) {
      acc[i] = vec4<f32>(0.0);
    }
    //#unroll
    for (var j = 0u; j < KEYS; j++) {
      let v = qkv[keys + width + min(j, last) * 3u * width + c];
      //#unroll
      for (var i = 0u; i < TILE_Q; i++) {
        acc[i] = fma(vec4<f32>(s[i * KEYS + j]), v, acc[i]);
      }
    }
    //#unroll
    for (var i = 0u; i < TILE_Q; i++) {
      if (is_real && first + i < u.frames) {
        context[(clip * u.frames + first + i) * width + head + c] = acc[i];
      }
    }
  }
}
