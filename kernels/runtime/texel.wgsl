// Where vec4 i of an operand lies in the texture that it is read from; see textures.ts.
fn texel(i: u32) -> vec2<u32> {
  return vec2<u32>(i & 1023u, i >> 10u);
}
