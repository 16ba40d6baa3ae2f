// What a shader calls Element: one value, where a row has any length. See elements.ts.
alias Element = f32;

const ELEMENT_WIDTH = 1u;

fn element_sum(e: Element) -> f32 {
  return e;
}

fn element_to_vec4(e: Element) -> vec4<f32> {
  return vec4<f32>(e);
}

fn vec4_to_element(v: vec4<f32>) -> Element {
  return v.x;
}
