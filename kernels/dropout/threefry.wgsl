// Threefry-2x32 with 20 rounds: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, section 3.2.
// To be included. One block turns a key and a counter of 64 bits each into 64 random bits.
//
// The mask of a dropout: element e is kept if word e % 2 of block (step, e / 2) under key (seed, layer) is at least
// `threshold` = rate 2^32. dropout.ts packs key, step and threshold (`dropoutUniforms`); dropout_ref.ts is the twin.

fn threefry_round(x: vec2<u32>, rotation: u32) -> vec2<u32> {
  let sum = x.x + x.y;
  return vec2<u32>(sum, ((x.y << rotation) | (x.y >> (32u - rotation))) ^ sum);
}

fn threefry_rounds(x: vec2<u32>, rotations: vec4<u32>) -> vec2<u32> {
  let a = threefry_round(x, rotations.x);
  let b = threefry_round(a, rotations.y);
  let c = threefry_round(b, rotations.z);
  return threefry_round(c, rotations.w);
}

fn threefry2x32(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
  let even = vec4<u32>(13u, 15u, 26u, 6u);
  let odd = vec4<u32>(17u, 29u, 16u, 24u);
  let parity = 0x1bd11bdau ^ key.x ^ key.y;
  var x = counter + key;
  x = threefry_rounds(x, even) + vec2<u32>(key.y, parity + 1u);
  x = threefry_rounds(x, odd) + vec2<u32>(parity, key.x + 2u);
  x = threefry_rounds(x, even) + vec2<u32>(key.x, key.y + 3u);
  x = threefry_rounds(x, odd) + vec2<u32>(key.y, parity + 4u);
  return threefry_rounds(x, even) + vec2<u32>(parity, key.x + 5u);
}

// Whether element e is kept.
fn dropout_keeps(key: vec2<u32>, step: u32, threshold: u32, e: u32) -> bool {
  let words = threefry2x32(key, vec2<u32>(step, e / 2u));
  return select(words.x, words.y, e % 2u == 1u) >= threshold;
}

// Whether elements 4 quad .. 4 quad + 3 are kept: half the work of asking for each.
fn dropout_keeps4(key: vec2<u32>, step: u32, threshold: u32, quad: u32) -> vec4<bool> {
  let low = threefry2x32(key, vec2<u32>(step, 2u * quad));
  let high = threefry2x32(key, vec2<u32>(step, 2u * quad + 1u));
  return vec4<u32>(low, high) >= vec4<u32>(threshold);
}
