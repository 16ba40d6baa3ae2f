// What keeps NaN where it could get lost without a word, so that a broken run shows. To be included.
//
// WGSL lets max, min and clamp of NaN be either operand, and a compiler may take it that no float is NaN: on an NVIDIA
// H200 (Vulkan), where the maximum of NaN and 0 is 0, so is select(v, 0, v < 0) of NaN. No comparison of floats can be
// trusted with it; that of the bits can, and costs the same. As a signed integer, a number below 0, or -0, is at most
// -infinity, -0x800000; no NaN of either sign is.

fn is_nan4(v: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// v above 0 and NaN, else 0.
fn relu4(v: vec4<f32>) -> vec4<f32> {
  return select(v, vec4<f32>(0.0), bitcast<vec4<i32>>(v) <= vec4<i32>(-0x800000));
}

// dy where v, or relu4(v), is above 0 or NaN, else 0.
fn relu_gradient4(dy: vec4<f32>, v: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<i32>>(v);
  return select(dy, vec4<f32>(0.0), (bits <= vec4<i32>(-0x800000)) | (bits == vec4<i32>(0)));
}
