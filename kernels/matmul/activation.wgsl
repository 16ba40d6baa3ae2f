// f(v), element by element; ACTIVATION as in activation.ts.
//#include "erf.wgsl"
//#include "nan.wgsl"
const ACTIVATION = 0u;

// slope: of leakyrelu and prelu, below 0. NaN stays NaN: by its bits, see
// nan.wgsl, or because it is on both sides of the select.
fn activate(v: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
  switch ACTIVATION {
    case 1u: { // relu
      return relu4(v);
    }
    case 2u: { // relu6
      return select(clamp(v, vec4<f32>(0.0), vec4<f32>(6.0)), v, is_nan4(v));
    }
    case 3u: { // elu
      return select(exp(v) - 1.0, v, v >= vec4<f32>(0.0));
    }
    case 4u: { // sigmoid
      return 1.0 / (1.0 + exp(-v));
    }
    case 5u: { // tanh, from exp of a negative number, which cannot overflow
      let e = exp(-2.0 * abs(v));
      return sign(v) * (1.0 - e) / (1.0 + e);
    }
    case 6u: { // gelu
      return gelu4(v);
    }
    case 7u: { // leakyrelu and prelu
      return select(v, v * slope, v < vec4<f32>(0.0));
    }
    default: {
      return v;
    }
  }
}
