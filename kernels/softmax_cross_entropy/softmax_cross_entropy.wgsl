// p = softmax(logits[m]), t = labels[m], w class weights, e smoothing, q = 1 - p[t];
// loss[m] = q^gamma ((1 - e) w[t] (-log p[t]) + e / K sum over k of w[k] (-log p[k]));
// loss = sum over counted m of loss[m] / sum of w[labels[m]]; dlogits = its gradient.
//
// A workgroup makes dlogits of ROWS * batches rows (rows.wgsl). With SUMMED, workgroup 0 sums the loss over all rows
// instead, so that nothing waits for another workgroup and one dispatch does: the price is that every row is
// exponentiated once more. Without it, for many rows, each row's share of the loss is written, and added by
// softmax_cross_entropy_sum.wgsl. Each workgroup adds up the weights of all labels. Grid: x = row groups (+ 1).
//
// Measured on lavapipe 22.3.6, [32, 1000]: the loss as a dispatch of its own takes as long (0.9 to 1.1); ROW_LANES 2 or 8
// and 16 rows a workgroup as well: the stores bound it. At [288, 7] 36 row groups instead of 12 take 2 times as long.
//#include "elements.wgsl"
//#include "rows.wgsl"
const SUMMED = true;
const WEIGHTED = false;
const SMOOTHED = false;
const FOCAL = false;
const LOWEST = -0x1.fffffep+127; // float32's least: no finite logit is below it

struct Uniforms {
  rows: u32, // M
  columns: u32, // K, in elements
  batches: u32, // times ROWS: rows of a workgroup
  smoothing: f32,
  gamma: f32,
  nan: f32, // what an impossible label makes of the loss
}

//#texture
@group(0) @binding(0) var<storage, read> logits: array<Element>; // [M, K]
@group(0) @binding(1) var<storage, read> labels: array<i32>; // [M], -1 = ignored
@group(0) @binding(2) var<storage, read> weights: array<Element>; // [K]; anything where there are none
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // [1]; [M] unless SUMMED
@group(0) @binding(4) var<storage, read_write> dlogits: array<Element>; // [M, K]
@group(0) @binding(5) var<uniform> u: Uniforms;

fn class_weight(t: u32) -> f32 {
  if (WEIGHTED) {
    return element_value(weights[t / ELEMENT_WIDTH], t);
  }
  return 1.0;
}

// 1 / the sum of the labels' weights; 0 where there is none, NaN where a label is impossible.
fn inverse_weight(local: u32) -> f32 {
  let classes = i32(u.columns * ELEMENT_WIDTH);
  var sum = 0.0;
  for (var m = local; m < u.rows; m += ROW_LANES * ROWS) {
    let t = labels[m];
    sum += select(0.0, class_weight(u32(clamp(t, 0, classes - 1))), t >= 0);
    sum += select(0.0, u.nan, t < -1 || t >= classes);
  }
  let total = group_sum(vec2<f32>(sum), local).x;
  return select(1.0 / total, 0.0, bitcast<u32>(total) == 0u); // by its bits: see nan.wgsl
}

// What a row's loss and gradient are made of.
struct Row {
  greatest: f32, // of the logits
  inverse: f32, // 1 / sum of exp(logit - greatest)
  loss: f32,
  // dlogits[k] = slope p[k] - spread w[k], and `own` at the label
  slope: f32,
  spread: f32,
  own: f32,
}

fn measure(first: u32, t: u32, lane: u32, local: u32) -> Row {
  let z = element_value(logits[first + t / ELEMENT_WIDTH], t);
  var greatest = LOWEST;
  var others = Element(0.0); // sum of exp(logit - greatest) but for the label's
  var gaps = Element(0.0); // sum of w (logit - z)
  var weight_sum = Element(0.0);
  for (var i = lane; i < u.columns; i += ROW_LANES) {
    let v = logits[first + i];
    let next = max(greatest, element_max(v)); // may lose NaN; exp(v - next) has it
    let e = select(exp(v - next), Element(0.0), element_index(i) == ElementIndex(t));
    others = fma(others, Element(exp(greatest - next)), e);
    greatest = next;
    if (SMOOTHED) {
      var w = Element(1.0);
      if (WEIGHTED) {
        w = weights[i];
      }
      gaps = fma(w, v - z, gaps);
      weight_sum += w;
    }
  }
  var row: Row;
  row.greatest = row_max(greatest, local);
  let rest = row_sum(vec2<f32>(element_sum(others) * exp(greatest - row.greatest)), local).x;
  let sum = rest + exp(z - row.greatest);
  row.inverse = 1.0 / sum;
  let p = exp(z - row.greatest) / sum;
  let q = rest / sum;
  // -log p[t]; a confident row's keeps its digits: log(1 + r) = r - r^2 / 2 + ..
  let surprise = select(
    log(sum) + (row.greatest - z),
    rest * (1.0 - rest * (0.5 - rest / 3.0)),
    bitcast<u32>(z - row.greatest) == 0u && rest < 0.01,
  );
  let w = class_weight(t);
  row.loss = w * surprise;
  row.slope = w;
  row.own = -w * q;
  if (SMOOTHED) {
    let sums = row_sum(vec2<f32>(element_sum(gaps), element_sum(weight_sum)), local);
    row.spread = u.smoothing / f32(u.columns * ELEMENT_WIDTH);
    row.loss = (1.0 - u.smoothing) * w * surprise + row.spread * (sums.y * surprise - sums.x);
    row.slope = (1.0 - u.smoothing) * w + row.spread * sums.y;
    row.own = row.spread * (sums.y - w) - row.slope * q;
  }
  if (FOCAL) {
    // d q^gamma / dlogits[k] = gamma p[t] q^gamma p[k] / q, and its negative sum at the label.
    let is_left = bitcast<u32>(q) >= 0x00800000u; // q > 0, or NaN
    let focus = select(0.0, pow(q, u.gamma), is_left);
    row.loss *= focus;
    let pull = u.gamma * p * row.loss;
    row.slope = focus * row.slope + select(0.0, pull / q, is_left);
    row.spread *= focus;
    row.own = focus * row.own - pull;
  }
  return row;
}

fn write_gradient(row: Row, first: u32, t: u32, lane: u32, scale: f32, ignored: bool) {
  for (var i = lane; i < u.columns; i += ROW_LANES) {
    var d = row.slope * row.inverse * exp(logits[first + i] - row.greatest);
    if (SMOOTHED) {
      var w = Element(1.0);
      if (WEIGHTED) {
        w = weights[i];
      }
      d -= row.spread * w;
    }
    d = select(d, Element(row.own), element_index(i) == ElementIndex(t));
    dlogits[first + i] = select(scale * d, Element(0.0), ignored);
  }
}

@compute @workgroup_size(ROW_LANES * ROWS)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) id: vec3<u32>) {
  let lane = local % ROW_LANES;
  let scale = inverse_weight(local);
  let sums_loss = SUMMED && id.x == 0u;
  let group_rows = select(ROWS * u.batches, u.rows, sums_loss);
  let begin = select((id.x - u32(SUMMED)) * group_rows, 0u, sums_loss);
  let end = min(u.rows, begin + group_rows);
  var total = 0.0;
  for (var base = begin; base < end; base += ROWS) {
    let m = base + local / ROW_LANES;
    let inside = m < end;
    let first = min(m, u.rows - 1u) * u.columns; // a surplus row repeats the last one
    let label = labels[min(m, u.rows - 1u)];
    let t = min(u32(max(label, 0)), u.columns * ELEMENT_WIDTH - 1u);
    let row = measure(first, t, lane, local);
    let row_loss = select(row.loss, 0.0, label == -1);
    if (sums_loss) {
      total += select(0.0, row_loss, inside && lane == 0u);
    } else if (inside) {
      write_gradient(row, first, t, lane, scale, label == -1);
      if (!SUMMED && lane == 0u) {
        loss[m] = scale * row_loss;
      }
    }
  }
  if (sums_loss) {
    let sum = group_sum(vec2<f32>(total), local).x;
    if (local == 0u) {
      loss[0] = scale * sum;
    }
  }
}
