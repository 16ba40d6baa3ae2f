// The gradients of attention_bwd_short.wgsl for clips of any length, without atomics: workgroups with z = 0 own queries
// and give dq, those with z = 1 own keys and give dk and dv; both recompute the probabilities from the log-sum-exp, and
// take the sum of p dp over the keys as dc . context (Dao et al. 2022, "FlashAttention", algorithm 4).
//
// One invocation owns ROWS queries or keys of one head and walks over the others in tiles of OTHERS; the gradients are
// summed up in their buffer. Grid: x, y = (clip, head, row tile) / 8, z = queries, keys. No workgroup memory, no barrier,
// no early return.
//
// Measured on lavapipe 22.3.6, two cores without AVX-512, T 512, S 24, ms: 4x8 83 to 92, 4x16 55, 4x32 42 (5 s more to
// compile), 2x16 62, 3x16 59, 1x64 61; T 128, S 64: 4x8 320, 4x16 194 to 215, 2x16 254: what is summed up in the buffer costs
// most. Dead end, from buffers: the gradients in registers (0.9 of the speed, ten times as long to compile), the same with a
// dynamic index (minutes to compile).
const ROWS = 4u;
const OTHERS = 2u;
const MASKED = false;
const DROPOUT = false;

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

//#texture
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(1) var<storage, read> key_mask: array<i32>; // [B, T], 0 = masked
@group(0) @binding(2) var<storage, read> log_sum_exp: array<f32>; // [B, A, T]
//#texture
@group(0) @binding(3) var<storage, read> context: array<vec4<f32>>; // [B, T, A, S / 4]
//#texture
@group(0) @binding(4) var<storage, read> dcontext: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(5) var<storage, read_write> dqkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(6) var<uniform> u: Uniforms;

// 0 for a dropped probability, else what it is multiplied by.
fn dropout_factor(pair: u32, i: u32, j: u32) -> f32 {
  let element = (pair * u.frames + i) * u.frames + j;
  return select(0.0, u.scale, dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element));
}

fn query_tile(clip: u32, pair: u32, head: u32, first: u32, is_real: bool) {
  let width = u.heads * u.channels;
  let last = u.frames - 1u;
  var at: array<u32, ROWS>; // where q[i] begins
  var at_dc: array<u32, ROWS>;
  var total: array<f32, ROWS>;
  var delta: array<f32, ROWS>;
  //#unroll
  for (var i = 0u; i < ROWS; i++) {
    let frame = clip * u.frames + min(first + i, last);
    at[i] = frame * 3u * width + head;
    at_dc[i] = frame * width + head;
    total[i] = log_sum_exp[pair * u.frames + min(first + i, last)];
  }
  for (var c = 0u; c < u.channels; c++) {
    //#unroll
    for (var i = 0u; i < ROWS; i++) {
      delta[i] += dot(dcontext[at_dc[i] + c], context[at_dc[i] + c]);
    }
  }
  var key: array<u32, OTHERS>; // where k[j] begins
  var q: array<vec4<f32>, ROWS>;
  var dc: array<vec4<f32>, ROWS>;
  var s: array<f32, ROWS * OTHERS>;
  var dp: array<f32, ROWS * OTHERS>;
  for (var first_key = 0u; first_key < u.frames; first_key += OTHERS) {
    //#unroll
    for (var j = 0u; j < OTHERS; j++) {
      key[j] = (clip * u.frames + min(first_key + j, last)) * 3u * width + width + head;
    }
    //#unroll
    for (var n = 0u; n < ROWS * OTHERS; n++) {
      s[n] = 0.0;
      dp[n] = 0.0;
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var i = 0u; i < ROWS; i++) {
        q[i] = qkv[at[i] + c];
        dc[i] = dcontext[at_dc[i] + c];
      }
      //#unroll
      for (var j = 0u; j < OTHERS; j++) {
        let k = qkv[key[j] + c];
        let v = qkv[key[j] + width + c];
        //#unroll
        for (var i = 0u; i < ROWS; i++) {
          s[i * OTHERS + j] = fma(q[i].x, k.x, s[i * OTHERS + j]);
          s[i * OTHERS + j] = fma(q[i].y, k.y, s[i * OTHERS + j]);
          s[i * OTHERS + j] = fma(q[i].z, k.z, s[i * OTHERS + j]);
          s[i * OTHERS + j] = fma(q[i].w, k.w, s[i * OTHERS + j]);
          dp[i * OTHERS + j] = fma(dc[i].x, v.x, dp[i * OTHERS + j]);
          dp[i * OTHERS + j] = fma(dc[i].y, v.y, dp[i * OTHERS + j]);
          dp[i * OTHERS + j] = fma(dc[i].z, v.z, dp[i * OTHERS + j]);
          dp[i * OTHERS + j] = fma(dc[i].w, v.w, dp[i * OTHERS + j]);
        }
      }
    }
    //#unroll
    for (var j = 0u; j < OTHERS; j++) {
      var attends = first_key + j < u.frames;
      if (MASKED) {
        attends = attends && key_mask[clip * u.frames + min(first_key + j, last)] != 0;
      }
      //#unroll
      for (var i = 0u; i < ROWS; i++) {
        let p = select(0.0, exp(fma(s[i * OTHERS + j], u.score_scale, -total[i])), attends);
        if (DROPOUT) {
          dp[i * OTHERS + j] *= dropout_factor(pair, first + i, first_key + j);
        }
        s[i * OTHERS + j] = p * (dp[i * OTHERS + j] - delta[i]) * u.score_scale; // ds
      }
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var i = 0u; i < ROWS; i++) {
        q[i] = select(vec4<f32>(0.0), dqkv[at[i] + c], first_key > 0u);
      }
      //#unroll
      for (var j = 0u; j < OTHERS; j++) {
        let k = qkv[key[j] + c];
        //#unroll
        for (var i = 0u; i < ROWS; i++) {
          q[i] = fma(vec4<f32>(s[i * OTHERS + j]), k, q[i]);
        }
      }
      //#unroll
      for (var i = 0u; i < ROWS; i++) {
        if (is_real && first + i < u.frames) {
          dqkv[at[i] + c] = q[i];
        }
      }
    }
  }
}

fn key_tile(clip: u32, pair: u32, head: u32, first: u32, is_real: bool) {
  let width = u.heads * u.channels;
  let last = u.frames - 1u;
  var at: array<u32, ROWS>; // where k[j] begins
  var attends: array<bool, ROWS>;
  //#unroll
  for (var j = 0u; j < ROWS; j++) {
    let frame = clip * u.frames + min(first + j, last);
    at[j] = frame * 3u * width + width + head;
    attends[j] = first + j < u.frames;
    if (MASKED) {
      attends[j] = attends[j] && key_mask[frame] != 0;
    }
  }
  var query: array<u32, OTHERS>; // where q[i] begins
  var query_dc: array<u32, OTHERS>;
  var k: array<vec4<f32>, ROWS>;
  var v: array<vec4<f32>, ROWS>;
  var s: array<f32, ROWS * OTHERS>;
  var dp: array<f32, ROWS * OTHERS>;
  var delta: array<f32, OTHERS>;
  for (var first_query = 0u; first_query < u.frames; first_query += OTHERS) {
    //#unroll
    for (var i = 0u; i < OTHERS; i++) {
      let frame = clip * u.frames + min(first_query + i, last);
      query[i] = frame * 3u * width + head;
      query_dc[i] = frame * width + head;
      delta[i] = 0.0;
    }
    //#unroll
    for (var n = 0u; n < ROWS * OTHERS; n++) {
      s[n] = 0.0;
      dp[n] = 0.0;
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var j = 0u; j < ROWS; j++) {
        k[j] = qkv[at[j] + c];
        v[j] = qkv[at[j] + width + c];
      }
      //#unroll
      for (var i = 0u; i < OTHERS; i++) {
        let q = qkv[query[i] + c];
        let dc = dcontext[query_dc[i] + c];
        delta[i] += dot(dc, context[query_dc[i] + c]);
        //#unroll
        for (var j = 0u; j < ROWS; j++) {
          s[i * ROWS + j] = fma(q.x, k[j].x, s[i * ROWS + j]);
          s[i * ROWS + j] = fma(q.y, k[j].y, s[i * ROWS + j]);
          s[i * ROWS + j] = fma(q.z, k[j].z, s[i * ROWS + j]);
          s[i * ROWS + j] = fma(q.w, k[j].w, s[i * ROWS + j]);
          dp[i * ROWS + j] = fma(dc.x, v[j].x, dp[i * ROWS + j]);
          dp[i * ROWS + j] = fma(dc.y, v[j].y, dp[i * ROWS + j]);
          dp[i * ROWS + j] = fma(dc.z, v[j].z, dp[i * ROWS + j]);
          dp[i * ROWS + j] = fma(dc.w, v[j].w, dp[i * ROWS + j]);
        }
      }
    }
    //#unroll
    for (var i = 0u; i < OTHERS; i++) {
      let inside = first_query + i < u.frames;
      let total = log_sum_exp[pair * u.frames + min(first_query + i, last)];
      //#unroll
      for (var j = 0u; j < ROWS; j++) {
        let p = select(0.0, exp(fma(s[i * ROWS + j], u.score_scale, -total)), inside && attends[j]);
        s[i * ROWS + j] = p;
        if (DROPOUT) {
          let factor = dropout_factor(pair, first_query + i, first + j);
          dp[i * ROWS + j] *= factor;
          s[i * ROWS + j] *= factor;
        }
        dp[i * ROWS + j] = p * (dp[i * ROWS + j] - delta[i]) * u.score_scale; // ds
      }
    }
    for (var c = 0u; c < u.channels; c++) {
      //#unroll
      for (var j = 0u; j < ROWS; j++) {
        k[j] = select(vec4<f32>(0.0), dqkv[at[j] + c], first_query > 0u);
        v[j] = select(vec4<f32>(0.0), dqkv[at[j] + width + c], first_query > 0u);
      }
      //#unroll
      for (var i = 0u; i < OTHERS; i++) {
        let q = qkv[query[i] + c];
        let dc = dcontext[query_dc[i] + c];
        //#unroll
        for (var j = 0u; j < ROWS; j++) {
          k[j] = fma(vec4<f32>(dp[i * ROWS + j]), q, k[j]);
          v[j] = fma(vec4<f32>(s[i * ROWS + j]), dc, v[j]);
        }
      }
      //#unroll
      for (var j = 0u; j < ROWS; j++) {
        if (is_real && first + j < u.frames) {
          dqkv[at[j] + c] = k[j];
          dqkv[at[j] + width + c] = v[j];
        }
      }
    }
  }
}

@compute @workgroup_size(8)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = (u.frames + ROWS - 1u) / ROWS;
  let item = (group.y * groups.x + group.x) * 8u + local.x;
  let is_real = item < u.clips * u.heads * tiles;
  let pair = select(0u, item / tiles, is_real);
  let first = select(0u, item - pair * tiles, is_real) * ROWS;
  let clip = pair / u.heads;
  let head = (pair - clip * u.heads) * u.channels;
  if (group.z == 0u) {
    query_tile(clip, pair, head, first, is_real);
  } else {
    key_tile(clip, pair, head, first, is_real);
  }
}
