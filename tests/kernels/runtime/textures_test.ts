import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { capture } from "../../../kernels/runtime/capture.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import type { Input } from "../../../kernels/runtime/dispatch.ts";
import {
  backendInternals,
  currentTraits,
  release,
  run,
  submit,
  withPoisonedOutputs,
} from "../../../kernels/runtime/program.ts";
import { writeTensor } from "../../../kernels/runtime/tensors.ts";
import { operandBytes, requireTexture, textureBindings } from "../../../kernels/runtime/textures.ts";
import { startTiming } from "../../../kernels/runtime/timing.ts";
import { LaunchValue } from "../../../kernels/runtime/uniforms.ts";
import inPlaceSource from "./shaders/textures_in_place.wgsl" with { type: "text" };
import source from "./shaders/textures.wgsl" with { type: "text" };

await initializeDevice();

const SHADER = { file: "shaders/textures.wgsl", source };
const IN_PLACE = { file: "shaders/textures_in_place.wgsl", source: inPlaceSource };
const { software } = currentTraits();

/** Of `count` vec4s. */
function combine(x: tf.Tensor | Input, more: tf.Tensor, z: tf.Tensor, count = z.size, beyond = false) {
  const [y] = run({
    shader: SHADER,
    constants: { COUNT: count, BEYOND: beyond },
    inputs: [x, more, z],
    outputs: [{ shape: [count, 4] }],
    workgroups: [Math.ceil(count / 64)],
  });
  return tf.engine().makeTensorFromTensorInfo(y);
}

/** y = factor y + x, in place, from byte `offset` of y on. */
function addTo(y: tf.Tensor, x: tf.Tensor, factor: number | LaunchValue, offset = 0): void {
  const count = x.size / 4;
  run({
    shader: IN_PLACE,
    constants: { COUNT: count },
    inputs: [x],
    outputs: [{ inPlace: y, offset, size: 16 * count }],
    uniforms: { factor: factor instanceof LaunchValue ? factor : { f32: factor } },
    workgroups: [Math.ceil(count / 64)],
  });
}

/** Numbers from `first` on, on the device. */
function counting(first: number, size: number): tf.Tensor1D {
  const tensor = tf.tensor1d(Float32Array.from({ length: size }, (_, i) => first + i));
  backendInternals().uploadToGPU(tensor.dataId);
  return tensor;
}

/** The encoders' copies to textures while `body` runs. */
function countTextureCopies(body: () => void): number {
  const { device } = backendInternals();
  submit();
  let copies = 0;
  const create = device.createCommandEncoder;
  device.createCommandEncoder = () => {
    const encoder = create.call(device);
    const copy = encoder.copyBufferToTexture.bind(encoder);
    return Object.assign(encoder, {
      copyBufferToTexture(...args: Parameters<typeof copy>) {
        copies++;
        copy(...args);
      },
    });
  };
  try {
    body();
    submit();
  } finally {
    delete (device as Partial<GPUDevice>).createCommandEncoder; // an own method hid the prototype's
  }
  return copies;
}

Deno.test("operands of every length are read, below, at and beyond a texture's row, in any order", async () => {
  for (const count of [1, 5, 4096, 1023, 1024, 1025, 20_000, 7, 4097, 20_001]) {
    const [x, more, z] = [counting(1, 4 * count), counting(2, 4 * count), counting(3, count)];
    const y = combine(x, more, z);
    const values = await y.data();
    for (const i of [0, 1, 2, 3, 4 * (count >> 1) + 1, 4 * count - 1]) {
      const vec4 = i >> 2;
      const from = 4 * (count - 1 - vec4) + i % 4;
      assertEquals(values[i], Math.fround(from + 1 + Math.fround((i + 2) * (vec4 + 3))), `${count}: ${i}`);
    }
    tf.dispose([x, more, z, y]);
  }
});

Deno.test("a part of a tensor is read", async () => {
  const [x, zeros, z] = [counting(0, 256), tf.zeros([12]), tf.zeros([3])];
  const y = combine({ tensor: x, offset: 512, size: 48 }, zeros, z, 3);
  assertEquals([...await y.data()], [136, 137, 138, 139, 132, 133, 134, 135, 128, 129, 130, 131]);
  tf.dispose([x, zeros, z, y]);
});

Deno.test({
  name: "while outputs are poisoned, what is beyond an operand is NaN",
  ignore: !software,
  async fn() {
    const [x, more, z] = [counting(1, 16), counting(2, 16), counting(3, 4)];
    const y = withPoisonedOutputs(() => combine(x, more, z, 4, true));
    assert((await y.data<"float32">()).every(Number.isNaN));
    tf.dispose([x, more, z, y]);
  },
});

Deno.test({
  name: "an operand that is given twice is copied once; on a GPU none is copied",
  fn() {
    const [x, more, z] = [counting(1, 16), counting(2, 16), counting(3, 4)];
    const copies = (...inputs: [tf.Tensor, tf.Tensor, tf.Tensor]) =>
      countTextureCopies(() => combine(...inputs).dispose());
    assertEquals(copies(x, more, z), software ? 3 : 0);
    assertEquals(copies(x, x, z), software ? 2 : 0);
    tf.dispose([x, more, z]);
  },
});

Deno.test("what is updated in place has the values of before, of a part of it too, and is copied before each dispatch", async () => {
  for (const count of [4, 5000]) {
    const [x, y] = [counting(1, 4 * count), counting(2, 4 * count)];
    const copies = countTextureCopies(() => {
      addTo(y, x, 2);
      addTo(y, x, 0.5);
    });
    assertEquals(copies, software ? (count > 1024 ? 8 : 4) : 0); // whole rows of a texture, and the rest
    const values = await y.data();
    for (const i of [0, 5, 4 * count - 1]) assertEquals(values[i], (2 * (i + 2) + (i + 1)) / 2 + i + 1);
    tf.dispose([x, y]);
  }
  const [x, y] = [counting(1, 8), counting(0, 256)];
  addTo(y, x, 3, 512);
  const values = await y.data();
  assertEquals([...values.slice(127, 137)], [
    127,
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => 3 * (128 + i) + i + 1),
    136,
  ]);
  tf.dispose([x, y]);
});

Deno.test("captured updates in place go on from where the last launch ended", async () => {
  const [x, y, factor] = [counting(1, 16), counting(1, 16), new LaunchValue(1)];
  const graph = capture(() => {
    addTo(y, x, factor);
    return tf.zerosLike(x);
  });
  factor.value = 2;
  graph.launch();
  graph.launch();
  assertEquals([...await y.data()].slice(0, 3), [11, 22, 33]); // 1 + 1 = 2, 2 2 + 1 = 5, 2 5 + 1 = 11
  graph.dispose();
  tf.dispose([x, y]);
});

Deno.test("captured commands copy their operands at each launch, whatever was copied between them", async () => {
  const [x, more, z] = [counting(1, 16), tf.zeros([16]), tf.zeros([4])];
  for (const { dataId } of [more, z]) backendInternals().uploadToGPU(dataId);
  const graph = capture(() => combine(x, more, z));
  for (const first of [100, 200]) {
    const large = counting(0, 400_000); // which makes larger textures
    const ones = tf.ones([100_000]);
    combine(large, large, ones).dispose();
    writeTensor(x, Float32Array.from({ length: 16 }, (_, i) => first + i));
    graph.launch();
    const y = graph.output();
    assertEquals([...await y.data()].slice(0, 5), [12, 13, 14, 15, 8].map((n) => n + first));
    tf.dispose([large, ones, y]);
  }
  graph.dispose();
  tf.dispose([x, more, z]);
});

Deno.test("what a texture cannot hold is refused, naming the shader", () => {
  const limits = { maxTextureDimension2D: 4 } as GPUSupportedLimits;
  requireTexture("op/op.wgsl", { tensor: { shape: [16384] } }, limits);
  assertThrows(
    () => requireTexture("op/op.wgsl", { tensor: { shape: [16385] } }, limits),
    RangeError,
    "Cannot run op/op.wgsl: a tensor of shape [16385] takes 65540 bytes; expected at most the 65536 of a texture",
  );
});

Deno.test("the largest operand is what is bound at once, or what a texture holds", () => {
  const limits = {
    maxStorageBufferBindingSize: 2 ** 30,
    maxBufferSize: 2 ** 31,
    maxTextureDimension2D: 8192,
  };
  assertEquals(operandBytes(limits as GPUSupportedLimits, false), 2 ** 30);
  assertEquals(operandBytes(limits as GPUSupportedLimits, true), 2 ** 27);
  const small = { ...limits, maxBufferSize: 2 ** 20 };
  for (const textures of [false, true]) {
    assertEquals(operandBytes(small as GPUSupportedLimits, textures), 2 ** 20);
  }
});

Deno.test("the bindings that are textures, and what a texel is", () => {
  const code = [
    "@group(0) @binding(0) var x: texture_storage_2d<rgba32float, read>;",
    "@group(0) @binding(1) var<storage, read> y: array<f32>;",
    "@group(0) @binding(12) var z: texture_storage_2d<r32float, read>; // [M]",
    "@group(0) @binding(2) var<storage, read_write> w: array<f32>;",
    "@group(0) @binding(4) var w_before: texture_storage_2d<r32float, read>;",
  ].join("\n");
  assertEquals(textureBindings(code), [
    { binding: 0, operand: 0, format: "rgba32float" },
    { binding: 4, operand: 2, format: "r32float" },
    { binding: 12, operand: 12, format: "r32float" },
  ]);
});

Deno.test("the operands' copies are no records of their own", async () => {
  const [x, more, z] = [counting(1, 16), counting(2, 16), counting(3, 4)];
  const session = startTiming();
  release(combine(x, more, z));
  const records = await session.finish();
  assertEquals(records.map(({ kind, name }) => [kind, name]), [["ours", SHADER.file]]);
  assert(records[0].ns > 0);
  tf.dispose([x, more, z]);
});
