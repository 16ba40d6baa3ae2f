// With dc the gradient of the context, per clip and head, m the dropout's factors and p from the log-sum-exp:
// dv[j] = sum over i of p[i, j] m[i, j] dc[i];  dp[i, j] = m[i, j] dc[i] . v[j];
// ds[i, j] = p[i, j] (dp[i, j] - sum over j of p[i, j] dp[i, j]) / sqrt(S);  dq[i] = sum of ds[i, j] k[j],
// dk[j] = sum of ds[i, j] q[i]
//
// For clips of at most FRAMES frames. One invocation computes one head of one clip, with p and ds in registers.
// Grid: x, y = (clip, head) / 8. No workgroup memory, no barrier, no early return.
//
// Measured on lavapipe 22.3.6, two cores, T 9, B 96, A 12, S 64, against the best tile of attention_bwd.wgsl: 2.
const FRAMES = 9u; // at least T
const MASKED = false;
const DROPOUT = false;

//#include "attention_uniforms.wgsl"
//#include "threefry.wgsl"

//#texture
@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(1) var<storage, read> key_mask: array<i32>; // [B, T], 0 = masked
@group(0) @binding(2) var<storage, read> log_sum_exp: array<f32>; // [B, A, T]
//#texture
@group(0) @binding(3) var<storage, read> dcontext: array<vec4<f32>>; // [B, T, A, S / 4]
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<f32>>; // [B, T, 3, A, S / 4]
@group(0) @binding(5) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let item = (group.y * groups.x + group.x) * 8u + local.x;
  let is_real = item < u.clips * u.heads;
  let pair = select(0u, item, is_real);
  let clip = pair / u.heads;
  let head = (pair - clip * u.heads) * u.channels;
  let width = u.heads * u.channels; // D / 4
  let last = u.frames - 1u;

  var at: array<u32, FRAMES>; // where q[i] begins; k and v follow at `width` and 2 `width`
  var at_dc: array<u32, FRAMES>;
  //#unroll
  for (var i = 0u; i < FRAMES; i++) {
    let row = clip * u.frames + min(i, last);
    at[i] = row * 3u * width + head;
    at_dc[i] = row * width + head;
  }
  var p: array<f32, FRAMES * FRAMES>; // first q k'
  var ds: array<f32, FRAMES * FRAMES>; // first dc v'
  var a: array<vec4<f32>, FRAMES>;
  var b: array<vec4<f32>, FRAMES>;
  for (var c = 0u; c < u.channels; c++) {
    //#unroll
    for (var i = 0u; i < FRAMES; i++) {
      a[i] = qkv[at[i] + c];
      b[i] = dcontext[at_dc[i] + c];
    }
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      let k = qkv[at[j] + width + c];
      let v = qkv[at[j] + 2u * width + c];
      //#unroll
      for (var i = 0u; i < FRAMES; i++) {
        p[i * FRAMES + j] = fma(a[i].x, k.x, p[i * FRAMES + j]);
        p[i * FRAMES + j] = fma(a[i].y, k.y, p[i * FRAMES + j]);
        p[i * FRAMES + j] = fma(a[i].z, k.z, p[i * FRAMES + j]);
        p[i * FRAMES + j] = fma(a[i].w, k.w, p[i * FRAMES + j]);
        ds[i * FRAMES + j] = fma(b[i].x, v.x, ds[i * FRAMES + j]);
        ds[i * FRAMES + j] = fma(b[i].y, v.y, ds[i * FRAMES + j]);
        ds[i * FRAMES + j] = fma(b[i].z, v.z, ds[i * FRAMES + j]);
        ds[i * FRAMES + j] = fma(b[i].w, v.w, ds[i * FRAMES + j]);
      }
    }
  }

  var attends: array<bool, FRAMES>;
  //#unroll
  for (var j = 0u; j < FRAMES; j++) {
    attends[j] = j < u.frames;
    if (MASKED) {
      attends[j] = attends[j] && key_mask[clip * u.frames + min(j, last)] != 0;
    }
  }
  var factor: array<f32, FRAMES>;
  //#unroll
  for (var i = 0u; i < FRAMES; i++) {
    let total = log_sum_exp[pair * u.frames + min(i, last)];
    var delta = 0.0;
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      let e = exp(fma(p[i * FRAMES + j], u.score_scale, -total));
      p[i * FRAMES + j] = select(0.0, e, attends[j] && i < u.frames);
      factor[j] = 1.0;
      if (DROPOUT) {
        let element = (pair * u.frames + i) * u.frames + j;
        let keeps = dropout_keeps(vec2<u32>(u.seed, u.layer), u.step, u.threshold, element);
        factor[j] = select(0.0, u.scale, keeps);
        ds[i * FRAMES + j] *= factor[j];
      }
      delta = fma(p[i * FRAMES + j], ds[i * FRAMES + j], delta);
    }
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      ds[i * FRAMES + j] = p[i * FRAMES + j] * (ds[i * FRAMES + j] - delta) * u.score_scale;
      if (DROPOUT) {
        p[i * FRAMES + j] *= factor[j];
      }
    }
  }

  for (var c = 0u; c < u.channels; c++) {
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      a[j] = vec4<f32>(0.0); // dk[j]
      b[j] = vec4<f32>(0.0); // dv[j]
    }
    //#unroll
    for (var i = 0u; i < FRAMES; i++) {
      let q = qkv[at[i] + c];
      let dc = dcontext[at_dc[i] + c];
      //#unroll
      for (var j = 0u; j < FRAMES; j++) {
        a[j] = fma(vec4<f32>(ds[i * FRAMES + j]), q, a[j]);
        b[j] = fma(vec4<f32>(p[i * FRAMES + j]), dc, b[j]);
      }
    }
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      if (is_real && j < u.frames) {
        dqkv[at[j] + width + c] = a[j];
        dqkv[at[j] + 2u * width + c] = b[j];
      }
      a[j] = vec4<f32>(0.0); // dq[j]
    }
    //#unroll
    for (var j = 0u; j < FRAMES; j++) {
      let k = qkv[at[j] + width + c];
      //#unroll
      for (var i = 0u; i < FRAMES; i++) {
        a[i] = fma(vec4<f32>(ds[i * FRAMES + j]), k, a[i]);
      }
    }
    //#unroll
    for (var i = 0u; i < FRAMES; i++) {
      if (is_real && i < u.frames) {
        dqkv[at[i] + c] = a[i];
      }
    }
  }
}
