// g[t, k, c] = f[t, c, k]: the filter as the input gradient reads it. One invocation turns a 4x4 block.
struct Uniforms {
  blocks: u32, // R S (C / 4) (K / 4)
  channels: u32, // C / 4
  out_channels: u32, // K / 4
}

@group(0) @binding(0) var<storage, read> f: array<vec4<f32>>; // [R S, C, K / 4]
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // [R S, K, C / 4]
@group(0) @binding(2) var<uniform> u: Uniforms;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let block = id.x;
  if (block < u.blocks) {
    let k = block % u.out_channels;
    let tc = block / u.out_channels;
    let c = tc % u.channels;
    let tap = tc / u.channels;
    let source = (tap * u.channels + c) * 4u * u.out_channels + k;
    let a = f[source];
    let b = f[source + u.out_channels];
    let d = f[source + 2u * u.out_channels];
    let e = f[source + 3u * u.out_channels];
    let destination = (tap * u.out_channels + k) * 4u * u.channels + c;
    g[destination] = vec4<f32>(a.x, b.x, d.x, e.x);
    g[destination + u.channels] = vec4<f32>(a.y, b.y, d.y, e.y);
    g[destination + 2u * u.channels] = vec4<f32>(a.z, b.z, d.z, e.z);
    g[destination + 3u * u.channels] = vec4<f32>(a.w, b.w, d.w, e.w);
  }
}
