// partial[g] = the greatest |a - b| and the greatest |b| among the elements of workgroup g, as bits: those of floats that
// are not negative are in the floats' order, and NaN's are above all, so that none is lost (see nan.wgsl).
//
// An invocation takes elements a whole grid apart. Grid: x = workgroups.
const GROUP = 64u;

struct Uniforms {
  length: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>; // [length]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [length]
@group(0) @binding(2) var<storage, read_write> partial: array<vec2<u32>>; // [workgroups]
@group(0) @binding(3) var<uniform> u: Uniforms;

var<workgroup> greatest: array<vec2<u32>, GROUP>;

@compute @workgroup_size(GROUP)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  var own = vec2<u32>(0u);
  for (var i = id.x; i < u.length; i += groups.x * GROUP) {
    own = max(own, bitcast<vec2<u32>>(vec2<f32>(a[i] - b[i], b[i])) & vec2<u32>(0x7fffffffu));
  }
  greatest[local] = own;
  for (var step = GROUP / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (local < step) {
      greatest[local] = max(greatest[local], greatest[local + step]);
    }
  }
  if (local == 0u) {
    partial[group.x] = greatest[0];
  }
}
