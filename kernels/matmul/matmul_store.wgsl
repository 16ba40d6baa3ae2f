// Stores four values of a row of y in the tiled products: f(sums + bias), or y += that.
//
// The tail of matmul_subgroup.wgsl and matmul_workgroup.wgsl, which bind their operands at 0 and 1.
//#include "activation.wgsl"
//#include "elements.wgsl"
const ADD = false; // to what y holds
const BIAS = false;
const PRELU = false;

@group(0) @binding(2) var<storage, read> bias: array<f32>; // [N]; unused without BIAS
@group(0) @binding(3) var<storage, read> prelu: array<f32>; // [N]; unused without PRELU
@group(0) @binding(4) var<storage, read_write> y: array<Element>; // [parts, batches, M, N] f32, by fours if 4 divides N

// From `column` on; what is at and beyond `columns` is not stored. alpha: slope of leakyrelu.
fn store(sums: vec4<f32>, row: u32, column: u32, columns: u32, alpha: f32) {
  let at = row * columns + column;
  var result = sums;
  if (BIAS) {
    result += vec4<f32>(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
  }
  var slope = vec4<f32>(alpha);
  if (PRELU) {
    slope = vec4<f32>(prelu[column], prelu[column + 1u], prelu[column + 2u], prelu[column + 3u]);
  }
  result = activate(result, slope);
  //#unroll
  for (var c = 0u; c < 4u / ELEMENT_WIDTH; c++) {
    if (ELEMENT_WIDTH == 4u || column + c < columns) {
      let element = vec4_to_element(select(result, vec4<f32>(result[c]), ELEMENT_WIDTH == 1u));
      if (ADD) {
        y[at / ELEMENT_WIDTH + c] += element;
      } else {
        y[at / ELEMENT_WIDTH + c] = element;
      }
    }
  }
}
