// y[e] = sum over p of parts[p, e], always in the same order: invocation l of an element takes the parts l, l + LANES, ..,
// four at a time, and the first one adds up what they have.
//
// A workgroup makes GROUP vec4s of elements with LANES invocations each. Grid: folded over x and y. With one lane an
// invocation waits for its loads one after the other, and few elements make few invocations.
const GROUP = 64u;
const LANES = 1u;

struct Uniforms {
  parts: u32, // P
  length: u32, // E / 4
}

//#texture
@group(0) @binding(0) var<storage, read> parts: array<vec4<f32>>; // [P, E / 4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [E / 4]
@group(0) @binding(2) var<uniform> u: Uniforms;

var<workgroup> sums: array<vec4<f32>, GROUP * LANES>; // [LANES, GROUP]

@compute @workgroup_size(GROUP * LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let element = (group.y * groups.x + group.x) * GROUP + local % GROUP;
  var sum = vec4<f32>(0.0);
  if (element < u.length) {
    var p = local / GROUP;
    for (; p + 3u * LANES < u.parts; p += 4u * LANES) {
      let at = p * u.length + element;
      let step = LANES * u.length;
      sum += (parts[at] + parts[at + step]) + (parts[at + 2u * step] + parts[at + 3u * step]);
    }
    for (; p < u.parts; p += LANES) {
      sum += parts[p * u.length + element];
    }
  }
  if (LANES > 1u) {
    sums[local] = sum;
    workgroupBarrier();
    if (local < GROUP) {
      for (var l = 1u; l < LANES; l++) {
        sum += sums[l * GROUP + local];
      }
    }
  }
  if (local < GROUP && element < u.length) {
    y[element] = sum;
  }
}
