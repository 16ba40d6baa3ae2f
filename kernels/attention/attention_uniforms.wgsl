// The sizes of an attention. To be included.
struct Uniforms {
  clips: u32, // B
  frames: u32, // T
  heads: u32, // A
  channels: u32, // S / 4
  score_scale: f32, // 1 / sqrt(S)
  seed: u32, // of the dropout on the probabilities; see threefry.wgsl
  layer: u32,
  step: u32,
  threshold: u32,
  scale: f32, // 1 / (1 - rate)
}
