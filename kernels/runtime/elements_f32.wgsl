// What a shader calls Element: one value, where a row has any length. See elements.ts.
alias Element = f32;
alias ElementInt = i32;
alias ElementIndex = u32;

const ELEMENT_WIDTH = 1u;

fn element_sum(e: Element) -> f32 {
  return e;
}

fn element_max(e: Element) -> f32 {
  return e;
}

// The places in the row of the values of element i.
fn element_index(i: u32) -> ElementIndex {
  return i;
}

// The value at a place in the row, of the element there.
fn element_value(e: Element, place: u32) -> f32 {
  return e;
}

fn element_to_vec4(e: Element) -> vec4<f32> {
  return vec4<f32>(e);
}

fn vec4_to_element(v: vec4<f32>) -> Element {
  return v.x;
}
