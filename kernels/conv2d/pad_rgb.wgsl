// y[m, c] = x[m, c] for c < 3, y[m, 3] = 0: images as the convolution's kernels read them. One invocation copies four
// pixels, three vec4s to four (lavapipe 22.3: a third of pad_channels.wgsl's time). Grid: pixels / 4, folded over x
// and y.
struct Uniforms {
  quads: u32, // M / 4
  skip: u32, // vec4s of x before the first pixel
}

//#texture
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M / 4, 3], that is [M, 3] f32, after skip vec4s
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // [M, 4 / 4]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let quad = (group.y * groups.x + group.x) * 64u + local;
  if (quad < u.quads) {
    let at = u.skip + 3u * quad;
    let a = x[at];
    let b = x[at + 1u];
    let c = x[at + 2u];
    y[4u * quad] = vec4<f32>(a.xyz, 0.0);
    y[4u * quad + 1u] = vec4<f32>(a.w, b.xy, 0.0);
    y[4u * quad + 2u] = vec4<f32>(b.zw, c.x, 0.0);
    y[4u * quad + 3u] = vec4<f32>(c.yzw, 0.0);
  }
}
