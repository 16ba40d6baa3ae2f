// a <- a m + b, over and over: the adapter's peak rate of fused multiply-adds.
//
// One invocation keeps SUMS independent vec4 sums in registers and never reads memory. Grid: x = workgroups.
const GROUP = 64u; // invocations of a workgroup
const SUMS = 8u;
const REPEATS = 8u; // of the unrolled body

struct Uniforms {
  rounds: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>; // [invocations]
@group(0) @binding(1) var<uniform> u: Uniforms;

@compute @workgroup_size(GROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var a: array<vec4<f32>, SUMS>;
  //#unroll
  for (var i = 0u; i < SUMS; i++) {
    a[i] = vec4<f32>(f32(id.x + i));
  }
  let m = vec4<f32>(1.0 / f32(u.rounds + 1u)); // a converges, so that nothing overflows
  let b = vec4<f32>(1.0);
  for (var round = 0u; round < u.rounds; round++) {
    //#unroll
    for (var repeat = 0u; repeat < REPEATS; repeat++) {
      //#unroll
      for (var i = 0u; i < SUMS; i++) {
        a[i] = fma(a[i], m, b);
      }
    }
  }
  var sum = vec4<f32>(0.0);
  //#unroll
  for (var i = 0u; i < SUMS; i++) {
    sum += a[i];
  }
  y[id.x] = sum;
}
