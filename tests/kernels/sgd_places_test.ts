import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { capture, register, relu } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { hookCommands } from "../../kernels/runtime/program.ts";
import { MomentumSgd } from "../../kernels/sgd/sgd.ts";
import { watchLeaks } from "./_leaks.ts";
import { variable } from "./_variable.ts";

await initializeDevice();
register();

/** Copies from buffer to buffer that a body records. */
function countCopies(body: () => void): number {
  let copies = 0;
  const end = hookCommands({
    onDispatch: (_name, _dispatch, record) => record(),
    onCopy(_bytes, record) {
      copies++;
      record();
    },
  });
  try {
    body();
  } finally {
    end();
  }
  return copies;
}

/** Two weights, [3] by default, whose gradients a kernel makes of `values`, in the order of `order`. */
function pair(shapes = [[3], [3]]) {
  const weights = shapes.map((shape) => variable(tf.fill(shape, 10)));
  const sgd = new MomentumSgd(shapes.map((shape) => ({ shape, weightDecay: 0 })), { momentum: 0 });
  const make = (values: readonly number[], order = [0, 1]) =>
    sgd.makeGradients(() => {
      const made: tf.Tensor[] = [];
      for (const i of order) made[i] = tf.tidy(() => relu(tf.fill(shapes[i], values[i])));
      return made;
    });
  return {
    weights,
    sgd,
    make,
    update: (gradients: readonly tf.Tensor[]) => sgd.update(weights, gradients, 1),
    firsts: async () => await Promise.all(weights.map(async (weight) => (await weight.data())[2])),
    dispose() {
      sgd.dispose();
      tf.dispose(weights);
    },
  };
}

Deno.test("sgd: from the second step on nothing is copied", async () => {
  const { weights, sgd, make, update, firsts, dispose } = pair();
  const steps = [[1, 2], [3, 4], [5, 6]].map((values) =>
    countCopies(() => {
      const gradients = make(values);
      update(gradients);
      tf.dispose(gradients);
    })
  );
  assertEquals(steps, [4, 0, 0]); // weights and gradients come in once
  assertEquals(await firsts(), [1, -2]);
  assert(sgd.holds(weights));
  dispose();
});

Deno.test("sgd: gradients that are held, made in another order, or the same keep their values and count", async () => {
  const { weights, make, update, firsts, dispose } = pair();
  const first = make([1, 2]);
  update(first);
  const second = make([3, 4]); // the first are held, and were made before there was an order
  update(second);
  const third = make([5, 6]); // the second are held, in their places
  update(third);
  tf.dispose(second);
  const turned = make([7, 8], [1, 0]);
  update(turned);
  const again = make([9, 10], [1, 0]);
  update(again);
  assertEquals(await firsts(), [10 - 25, 10 - 30]);
  for (const [gradients, values] of [[first, [1, 2]], [third, [5, 6]], [turned, [7, 8]], [again, [9, 10]]]) {
    const read = await Promise.all((gradients as tf.Tensor[]).map((gradient) => gradient.data()));
    assertEquals(read.map((data) => data[2]), values as number[]);
  }
  tf.dispose([first, third, turned, again]);
  tf.dispose(weights);
  const equal = [3, 3].map((size) => variable(tf.zeros([size])));
  const sgd = new MomentumSgd(equal.map(({ shape }) => ({ shape, weightDecay: 0 })), { momentum: 0 });
  for (let step = 1; step < 4; step++) {
    const shared = sgd.makeGradients(() => tf.tidy(() => relu(tf.fill([3], step))));
    sgd.update(equal, [shared, shared], 1);
    shared.dispose();
  }
  for (const weight of equal) assertEquals([...await weight.data()], [-6, -6, -6]);
  sgd.dispose();
  tf.dispose(equal);
  dispose();
});

Deno.test("sgd: gradients of other sizes than those that were made then the last time", async () => {
  const { make, update, firsts, dispose } = pair([[3], [300]]);
  for (const [values, order] of [[[1, 2], [0, 1]], [[3, 4], [1, 0]], [[5, 6], [0, 1]], [[7, 8], [0, 1]]]) {
    const gradients = make(values, order);
    update(gradients);
    const read = await Promise.all(gradients.map((gradient) => gradient.data()));
    assertEquals(read.map((data) => [...new Set(data)]), values.map((value) => [value]));
    tf.dispose(gradients);
  }
  assertEquals(await firsts(), [10 - 16, 10 - 20]);
  dispose();
});

Deno.test("sgd: weights, and a gradient that is held, outlive it", async () => {
  const requireNoLeak = watchLeaks();
  const { weights, sgd, make, update } = pair();
  const first = make([1, 2]);
  update(first);
  tf.dispose(first);
  const held = make([3, 4]); // in its place
  update(held);
  sgd.dispose();
  const others = Array.from({ length: 8 }, () => tf.tidy(() => relu(tf.fill([512], 9)))); // take what it gave back
  const read = await Promise.all([...held, ...weights].map(async (tensor) => [...await tensor.data()]));
  assertEquals(read, [3, 4, 10 - 4, 10 - 6].map((value) => [value, value, value]));
  tf.dispose([weights, held, others]);
  requireNoLeak();
});

Deno.test("sgd: a gradient that is held while the next step is captured keeps its values: that is refused", async () => {
  const weight = variable(tf.fill([3], 10));
  const sgd = new MomentumSgd([{ shape: [3], weightDecay: 0 }], { momentum: 0 });
  const step = () => {
    const gradient = sgd.makeGradients(() => relu(weight));
    sgd.update([weight], [gradient], 0.5);
    return gradient;
  };
  const captured = () => capture(() => tf.tidy(() => step().sum()));
  step().dispose();
  const held = step(); // not read: it lies where the next one is to be made
  assertThrows(
    captured,
    Error,
    "Cannot capture commands: a tensor that was there before is gone or elsewhere",
  );
  assertEquals([...await held.data()], [5, 5, 5]);
  held.dispose();
  step().dispose();
  const [before] = await weight.data();
  const graph = captured();
  graph.launch();
  assertEquals([...await weight.data()], [before / 4, before / 4, before / 4]);
  graph.dispose();
  sgd.dispose();
  weight.dispose();
});
