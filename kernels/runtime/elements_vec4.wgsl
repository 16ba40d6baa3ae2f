// What a shader calls Element: four values at a time, where a row is a multiple of 4 long. See elements.ts.
alias Element = vec4<f32>;

const ELEMENT_WIDTH = 4u;

fn element_sum(e: Element) -> f32 {
  return (e.x + e.y) + (e.z + e.w);
}

fn element_to_vec4(e: Element) -> vec4<f32> {
  return e;
}

fn vec4_to_element(v: vec4<f32>) -> Element {
  return v;
}
