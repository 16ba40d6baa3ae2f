// The first tap r with (place - r dilation) a multiple of the stride; taps if there is none.
fn first_tap(place: u32, stride: u32, dilation: u32, taps: u32) -> u32 {
  var first = taps;
  for (var i = min(stride, taps); i > 0u; i--) {
    if ((i32(place) - i32((i - 1u) * dilation)) % i32(stride) == 0) {
      first = i - 1u;
    }
  }
  return first;
}
