import * as tf from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { RandomStream } from "../../../data/random.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, submit } from "../../../kernels/runtime/program.ts";

await initializeDevice();
tf.env().set("WEBGPU_CPU_FORWARD", false); // small tensors too go to the device
const random = new RandomStream(Math.floor(Math.random() * 2 ** 31), "upload");

const draw = (size: number) => Float32Array.from({ length: size }, () => random.uniform(-1, 1));

/** What the device holds of a tensor: once it is there the host has no values of it. */
async function onDevice(tensor: tf.Tensor): Promise<number[]> {
  backendInternals().uploadToGPU(tensor.dataId);
  return [...await tensor.data()];
}

Deno.test("values of every type and odd sizes come to the device", async () => {
  for (const size of [1, 3, 4099]) {
    const values = draw(size);
    const floats = tf.tensor(values);
    assertEquals(await onDevice(floats), [...values]);
    const whole = Int32Array.from(values, (value) => 1e9 * value);
    const ints = tf.tensor(whole, [size], "int32");
    assertEquals(await onDevice(ints), [...whole]);
    const truth = Array.from(values, (value) => value > 0);
    const bools = tf.tensor(truth, [size], "bool");
    assertEquals(await onDevice(bools), truth.map(Number));
    tf.dispose([floats, ints, bools]);
  }
});

Deno.test("a buffer that recorded commands still read does not take the next tensor's values", async () => {
  const [first, second] = [draw(5000), draw(5000)];
  const a = tf.tensor(first);
  const b = tf.tensor(second);
  submit();
  const sums: tf.Tensor[] = [a.add(0)]; // recorded, not submitted
  a.dispose();
  sums.push(b.add(0)); // its upload may take a buffer over
  b.dispose();
  assertEquals([...await sums[0].data()], [...first]);
  assertEquals([...await sums[1].data()], [...second]);
  tf.dispose(sums);
});

Deno.test("an upload takes a buffer of the pool where one is free, and leaves none behind", async () => {
  const upload = () => {
    const tensor = tf.tensor(draw(3001));
    backendInternals().uploadToGPU(tensor.dataId);
    return tensor;
  };
  upload().dispose();
  submit();
  const { bufferManager } = backendInternals();
  const before = bufferManager.numBytesAllocated;
  const tensor = upload();
  assertEquals(bufferManager.numBytesAllocated, before);
  await tensor.data();
  tensor.dispose();
});
