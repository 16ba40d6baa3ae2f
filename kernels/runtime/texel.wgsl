// Where value i of an operand lies in the texture that it is read from, see textures.ts: rows of 16 KiB.
fn texel4(i: u32) -> vec2<u32> {
  return vec2<u32>(i & 1023u, i >> 10u);
}

fn texel1(i: u32) -> vec2<u32> {
  return vec2<u32>(i & 4095u, i >> 12u);
}
