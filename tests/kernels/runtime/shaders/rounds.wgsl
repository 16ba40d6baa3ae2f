// y = 1 after many rounds of work: a dispatch whose time is known to grow. For the tests of timing.ts and tuner.ts.
const ROUNDS = 1u;
const WRONG = false;

@group(0) @binding(0) var<storage, read> x: array<f32>; // x [4096], ones
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // y [4096]

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var value = x[id.x];
  for (var i = 0u; i < ROUNDS; i++) {
    value = sqrt(value); // of 1
  }
  y[id.x] = select(value, 2.0, WRONG);
}
