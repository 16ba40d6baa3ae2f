// erfc(z) = exp(-z^2) t P(t), t = 1 / (1 + p z), z >= 0: the form of Abramowitz and Stegun, "Handbook of Mathematical
// Functions", 7.1.26, whose five coefficients hold an absolute error of 1.5e-7. The eight here were fitted anew to a
// relative error (1.8e-7 for z <= 10, 5e-7 in float32), so that the tail of GELU is right too. erf(x) near 0 is the
// Maclaurin series (7.1.5). GELU is the exact one: Hendrycks and Gimpel 2016, arXiv 1606.08415: x Phi(x).
//
// To be included: erf, gelu, gelu_derivative, and the same of four values: erf4, gelu4, gelu_derivative4.

// exp(z^2) erfc(z)
fn scaled_erfc4(z: vec4<f32>) -> vec4<f32> {
  let t = 1.0 / fma(vec4<f32>(0.44), z, vec4<f32>(1.0));
  var p = fma(vec4<f32>(0.071223177), t, vec4<f32>(-0.27794677));
  p = fma(p, t, vec4<f32>(0.29668534));
  p = fma(p, t, vec4<f32>(-0.020178692));
  p = fma(p, t, vec4<f32>(0.2158112));
  p = fma(p, t, vec4<f32>(0.21731386));
  p = fma(p, t, vec4<f32>(0.24887113));
  p = fma(p, t, vec4<f32>(0.24822096));
  return p * t;
}

// Phi(x), the normal distribution; `bell` = exp(-x^2 / 2)
fn normal_cdf4(x: vec4<f32>, bell: vec4<f32>) -> vec4<f32> {
  let tail = 0.5 * bell * scaled_erfc4(abs(x) * 0.70710678);
  return select(tail, 1.0 - tail, x > vec4<f32>(0.0));
}

fn erf4(x: vec4<f32>) -> vec4<f32> {
  let squared = x * x;
  var p = fma(vec4<f32>(-1.0 / 1320.0), squared, vec4<f32>(1.0 / 216.0));
  p = fma(p, squared, vec4<f32>(-1.0 / 42.0));
  p = fma(p, squared, vec4<f32>(0.1));
  p = fma(p, squared, vec4<f32>(-1.0 / 3.0));
  p = fma(p, squared, vec4<f32>(1.0));
  let far = sign(x) * (1.0 - exp(-squared) * scaled_erfc4(abs(x)));
  return select(far, 1.1283792 * x * p, abs(x) < vec4<f32>(0.5));
}

fn gelu4(x: vec4<f32>) -> vec4<f32> {
  return x * normal_cdf4(x, exp(-0.5 * x * x));
}

// Phi(x) + x phi(x)
fn gelu_derivative4(x: vec4<f32>) -> vec4<f32> {
  let bell = exp(-0.5 * x * x);
  return fma(0.39894228 * x, bell, normal_cdf4(x, bell));
}

fn erf(x: f32) -> f32 {
  return erf4(vec4<f32>(x)).x;
}

fn gelu(x: f32) -> f32 {
  return gelu4(vec4<f32>(x)).x;
}

fn gelu_derivative(x: f32) -> f32 {
  return gelu_derivative4(vec4<f32>(x)).x;
}
