// f(v), element by element; ACTIVATION as in activation.ts. Included by the kernels that end in an activation.
// erf: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26 (|error| <= 1.5e-7).
const ACTIVATION = 0u;

// erfc(|z|), without the cancellation of 1 - erf
fn erfc_abs(z: vec4<f32>) -> vec4<f32> {
  let t = 1.0 / fma(abs(z), vec4<f32>(0.3275911), vec4<f32>(1.0));
  var p = fma(t, vec4<f32>(1.061405429), vec4<f32>(-1.453152027));
  p = fma(t, p, vec4<f32>(1.421413741));
  p = fma(t, p, vec4<f32>(-0.284496736));
  p = fma(t, p, vec4<f32>(0.254829592));
  return p * t * exp(-z * z);
}

// the normal distribution's Phi(v)
fn phi(v: vec4<f32>) -> vec4<f32> {
  let tail = 0.5 * erfc_abs(v * 0.70710678);
  return select(1.0 - tail, tail, v < vec4<f32>(0.0));
}

// slope: of leakyrelu and prelu, below 0. NaN stays NaN.
fn activate(v: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
  let zero = vec4<f32>(0.0);
  switch ACTIVATION {
    case 1u: { // relu
      return select(v, zero, v < zero);
    }
    case 2u: { // relu6
      return select(select(v, zero, v < zero), vec4<f32>(6.0), v > vec4<f32>(6.0));
    }
    case 3u: { // elu
      return select(exp(v) - 1.0, v, v >= zero);
    }
    case 4u: { // sigmoid
      return 1.0 / (1.0 + exp(-v));
    }
    case 5u: { // tanh, from exp of a negative number, which cannot overflow
      let e = exp(-2.0 * abs(v));
      return sign(v) * (1.0 - e) / (1.0 + e);
    }
    case 6u: { // gelu
      return v * phi(v);
    }
    case 7u: { // leakyrelu and prelu
      return select(v, v * slope, v < zero);
    }
    default: {
      return v;
    }
  }
}
