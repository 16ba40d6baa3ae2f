import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { MomentumSgd } from "../../../kernels/mod.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, release, run, submit } from "../../../kernels/runtime/program.ts";
import { copyTensors, emptyTensor, writeTensor } from "../../../kernels/runtime/tensors.ts";
import inPlaceSource from "./shaders/in_place.wgsl" with { type: "text" };

await initializeDevice();

const IN_PLACE = { file: "shaders/in_place.wgsl", source: inPlaceSource };

/** Floats that tfjs has cast from integers: the buffer still has these. */
function cast(values: number[]): tf.Tensor1D {
  return tf.tidy(() => {
    const integers = tf.tensor1d(values, "int32");
    backendInternals().uploadToGPU(integers.dataId);
    return integers.toFloat();
  });
}

Deno.test("values of another number or type are not written", async () => {
  const x = tf.tensor1d([1, 2, 3, 4]);
  for (const count of [0, 3, 5]) {
    assertThrows(
      () => writeTensor(x, new Float32Array(count)),
      RangeError,
      `Cannot write to a tensor: it has shape [4] and ${count} values were given; expected 4`,
    );
  }
  assertThrows(
    () => writeTensor(x, new Int32Array(4)),
    TypeError,
    "it is float32 and a Int32Array was given",
  );
  assertEquals([...await x.data()], [1, 2, 3, 4]);
  writeTensor(x, Float32Array.of(5, 6, 7, 8));
  assertEquals([...await x.data()], [5, 6, 7, 8]);
  const empty = tf.zeros([0, 3]);
  writeTensor(empty, new Float32Array(0));
  tf.dispose([x, empty]);
});

Deno.test("a read that is pending when a tensor is written does not hide what is written", async () => {
  const x = tf.tensor1d([1, 2]);
  backendInternals().uploadToGPU(x.dataId);
  const pending = x.data();
  writeTensor(x, Float32Array.of(7, 8));
  assertEquals([...await pending], [1, 2]);
  assertEquals([...await x.data()], [7, 8]);
  const again = x.data(); // the host has them
  assertEquals([...await again], [7, 8]);
  x.dispose();
});

Deno.test("what tfjs cast from integers is copied as floats, and not written to", async () => {
  const [from, to] = [cast([1, 2, 3, 4]), emptyTensor([4])];
  copyTensors([{ from, fromOffset: 0, to, toOffset: 0, size: 16 }]);
  assertEquals([...await tf.backend().read(to.dataId) as Float32Array], [1, 2, 3, 4]);
  const floats = tf.tensor1d([1, 2, 3, 4]);
  const message =
    "a tensor of shape [4] that tfjs cast from integers is written to; expected one that was made of floats";
  assertThrows(
    () => copyTensors([{ from: floats, fromOffset: 0, to: from, toOffset: 0, size: 16 }]),
    TypeError,
    `Cannot copy a tensor: ${message}`,
  );
  const ids = tf.backend().numDataIds();
  assertThrows(
    () =>
      run({
        shader: IN_PLACE,
        constants: { ODD: 0 },
        inputs: [floats],
        outputs: [{ inPlace: from }],
        workgroups: [1],
      }),
    TypeError,
    `Cannot run shaders/in_place.wgsl: ${message}`,
  );
  assertEquals(tf.backend().numDataIds(), ids);
  release(to);
  tf.dispose([from, floats]);
});

Deno.test("weights and gradients that tfjs cast from integers are updated as floats", async () => {
  const sgd = new MomentumSgd([{ shape: [4], weightDecay: 0 }], { momentum: 0 });
  const [values, gradient] = [cast([1, 2, 3, 4]), cast([1, 1, 1, 2])];
  const weight = tf.variable(values);
  sgd.update([weight], [gradient], 0.5);
  submit();
  assertEquals([...await weight.data()], [0.5, 1.5, 2.5, 3]);
  sgd.dispose();
  tf.dispose([weight, values, gradient]);
});
