// What a shader calls Element: four values at a time, where a row is a multiple of 4 long. See elements.ts.
alias Element = vec4<f32>;
alias ElementInt = vec4<i32>;
alias ElementIndex = vec4<u32>;

const ELEMENT_WIDTH = 4u;

fn element_sum(e: Element) -> f32 {
  return (e.x + e.y) + (e.z + e.w);
}

fn element_max(e: Element) -> f32 {
  return max(max(e.x, e.y), max(e.z, e.w));
}

// The places in the row of the values of element i.
fn element_index(i: u32) -> ElementIndex {
  return 4u * i + vec4<u32>(0u, 1u, 2u, 3u);
}

// The value at a place in the row, of the element there.
fn element_value(e: Element, place: u32) -> f32 {
  return e[place % 4u];
}

fn element_to_vec4(e: Element) -> vec4<f32> {
  return e;
}

fn vec4_to_element(v: vec4<f32>) -> Element {
  return v;
}
