// y = the first lane's number, which the lanes share. For the test of pipeline.ts.
const LANES = 4u;

@group(0) @binding(0) var<storage, read_write> y: array<f32>; // y [8] f32

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  y[lane] = subgroupBroadcast(f32(lane), 0u);
}
