// words[i] = the Threefry block of key and counter i, for its test.
//#include "threefry.wgsl"

@group(0) @binding(0) var<storage, read> blocks: array<vec4<u32>>; // [count], key and counter
@group(0) @binding(1) var<storage, read_write> words: array<vec2<u32>>; // [count]

@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  words[id.x] = threefry2x32(blocks[id.x].xy, blocks[id.x].zw);
}
