// Count, mean and sum of squared deviations of some values of a channel; Element is f32 or vec4<f32> (elements.wgsl).
//#include "elements.wgsl"
struct Moments {
  count: f32,
  mean: Element,
  squares: Element,
}

// Of both together (Chan, Golub, LeVeque 1979): unlike a sum of squares it loses nothing where the mean is large.
fn merge_moments(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  let share = b.count / max(count, 1.0);
  return Moments(count, a.mean + delta * share, a.squares + b.squares + delta * delta * (a.count * share));
}
