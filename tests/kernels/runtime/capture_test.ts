import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { capture } from "../../../kernels/runtime/capture.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import {
  backendInternals,
  canCapture,
  hookCommands,
  release,
  submit,
  withPoisonedOutputs,
} from "../../../kernels/runtime/program.ts";
import { emptyTensor, writeTensor } from "../../../kernels/runtime/tensors.ts";
import { LaunchValue } from "../../../kernels/runtime/uniforms.ts";
import { moveIn, moveOut, partOf } from "../../../kernels/runtime/views.ts";
import { several } from "./_several.ts";

await initializeDevice();

/** A tensor on the device. */
function onDevice(values: number[]): tf.Tensor1D {
  const tensor = tf.tensor1d(values);
  backendInternals().uploadToGPU(tensor.dataId);
  return tensor;
}

/** A tensor [4] that is a part of another's buffer. */
function partOfAnother(): { part: tf.Tensor1D; dispose(): void } {
  const whole = tf.tidy(() => tf.range(0, 128).add(0));
  backendInternals().uploadToGPU(whole.dataId);
  const info = emptyTensor([4]);
  moveIn(
    backendInternals(),
    info.dataId,
    partOf(backendInternals().tensorMap.get(whole.dataId).resource!, 256, 16),
  );
  const part = tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor1D;
  return { part, dispose: () => tf.dispose([whole, part]) };
}

/** scale (a + b) + shift, ours */
function sumOf(a: tf.Tensor, b: tf.Tensor, scale: LaunchValue, shift = 0): tf.Tensor {
  const [sum, indices] = several(a, b, { scale, shift });
  release(indices);
  return tf.engine().makeTensorFromTensorInfo(sum);
}

async function read(tensor: tf.Tensor): Promise<number[]> {
  const values = [...await tensor.data()];
  tensor.dispose();
  return values;
}

/** Takes and fills as many buffers as it can find. */
function disturb(size: number): void {
  tf.tidy(() => {
    for (let i = 0; i < 20; i++) tf.fill([size], 1000 + i).mul(2);
  });
  submit();
}

function buffersInUse(): number {
  submit();
  return backendInternals().bufferManager.getNumUsedBuffers();
}

Deno.test("captured commands, ours and tfjs's own, run again on other inputs and launch values", async () => {
  const before = buffersInUse();
  const [x, y] = [onDevice([1, 2, 3]), onDevice([10, 20, 30])];
  const scale = new LaunchValue(2);
  // ((x + y) scale + 1)^2, then + x
  const graph = capture(() =>
    tf.tidy(() => sumOf(sumOf(x, y, scale, 1).square(), x, new LaunchValue(1)) as tf.Tensor)
  );
  const expected = (xs: number[], ys: number[], factor: number) =>
    xs.map((value, i) => ((value + ys[i]) * factor + 1) ** 2 + value);
  assertEquals(await read(graph.output()), expected([1, 2, 3], [10, 20, 30], 2));
  for (const factor of [2, -3, 0.5]) {
    disturb(3);
    scale.value = factor;
    const values = [factor, 7, -1];
    writeTensor(x, Float32Array.from(values));
    graph.launch();
    disturb(3);
    assertEquals(await read(graph.output()), expected(values, [10, 20, 30], factor));
    assertEquals([...await x.data()], values); // not what the host knew of it before
  }
  assertEquals(graph.dispatches, 3);
  graph.dispose();
  tf.dispose([x, y]);
  assertEquals(buffersInUse(), before);
});

Deno.test("a launch leaves alone what others hold, and they leave it alone", async () => {
  const x = onDevice([1, 2, 3, 4, 5]);
  const graph = capture(() => tf.tidy(() => x.mul(x).add(x).sub(x)));
  // Of the sizes of what the graph computes in between.
  const others = Array.from({ length: 10 }, (_, i) => tf.fill([5], i));
  graph.launch();
  for (const [i, other] of others.entries()) assertEquals(await read(other), new Array(5).fill(i));
  graph.launch();
  assertEquals(await read(graph.output()), [1, 4, 9, 16, 25]);
  graph.dispose();
  x.dispose();
});

Deno.test("an update in place goes on from launch to launch", async () => {
  const x = onDevice([1, 2]);
  const total = onDevice([0, 0]);
  const graph = capture(() => {
    tf.tidy(() => {
      const sum = total.add(x);
      const { tensorMap, commandEncoder } = backendInternals();
      backendInternals().endComputePassEncoder();
      const [from, to] = [sum, total].map(({ dataId }) => tensorMap.get(dataId).resource as GPUBuffer);
      commandEncoder!.copyBufferToBuffer(from, 0, to, 0, 8);
    });
    return total.clone().square();
  });
  for (let launch = 0; launch < 3; launch++) graph.launch();
  assertEquals(await read(graph.output()), [16, 64]);
  graph.dispose();
  tf.dispose([x, total]);
});

Deno.test("more dispatches than a submission takes", async () => {
  const x = onDevice([0, 1]);
  const one = onDevice([1, 1]);
  const graph = capture(() =>
    tf.tidy(() => {
      let y: tf.Tensor1D = x;
      for (let i = 0; i < 450; i++) y = y.add(one);
      return y;
    })
  );
  assertEquals(graph.dispatches, 450);
  writeTensor(x, Float32Array.of(5, -450));
  graph.launch();
  assertEquals(await read(graph.output()), [455, 0]);
  graph.dispose();
  tf.dispose([x, one]);
});

Deno.test("values from the host, and tensors that are gone, are refused; what was taken comes back", async () => {
  const before = buffersInUse();
  const x = onDevice([1, 2, 3]);
  assertThrows(
    () => capture(() => tf.tidy(() => x.add(tf.tensor1d([4, 5, 6])))),
    Error,
    "the host gives a tensor its values, 3 of them, first 4; expected one that was on the device before",
  );
  const gone = onDevice([7, 8, 9]);
  assertThrows(
    () =>
      capture(() => {
        const y = x.add(gone);
        gone.dispose();
        return y;
      }),
    Error,
    "a tensor that was there before is gone or elsewhere when they end",
  );
  assertThrows(
    () =>
      capture(() => {
        throw new RangeError("of the body");
      }),
    RangeError,
    "of the body",
  );
  assertEquals(await read(tf.tidy(() => x.add(tf.tensor1d([4, 5, 6])))), [5, 7, 9]); // as ever
  x.dispose();
  assert(canCapture());
  assertEquals(buffersInUse() - before, 1); // tfjs's output of the first body's sum, which nobody can dispose
});

Deno.test("what is refused for the host's values leaves nothing of ours behind", () => {
  const x = onDevice([1, 2, 3]);
  const integers = tf.tensor1d([1, 2, 3], "int32");
  backendInternals().uploadToGPU(integers.dataId);
  const cast = integers.toFloat();
  const [ids, buffers] = [tf.backend().numDataIds(), buffersInUse()];
  for (const [a, b] of [[cast, tf.tensor1d([4, 5, 6])], [tf.tensor1d([4, 5, 6]), x]]) {
    assertThrows(
      () => capture(() => sumOf(a, b, new LaunchValue(1))),
      Error,
      "the host gives a tensor its values",
    );
    [a, b].filter((tensor) => tensor !== x && tensor !== cast).forEach((tensor) => tensor.dispose());
  }
  submit();
  assertEquals([tf.backend().numDataIds(), buffersInUse()], [ids, buffers]);
  tf.dispose([x, integers, cast]);
});

Deno.test("a graph whose tensor has another buffer is not launched", () => {
  const x = onDevice([1, 2, 3]);
  const graph = capture(() => x.square());
  assert(graph.valid);
  x.dispose();
  submit();
  assert(!graph.valid);
  assertThrows(
    () => graph.launch(),
    Error,
    "Cannot launch captured commands: a tensor that they use is gone",
  );
  const another = onDevice([4, 5, 6]); // on the same buffer
  const { tensorMap } = backendInternals();
  assert(tensorMap.get(another.dataId).resource !== undefined);
  assert(!graph.valid);
  graph.dispose();
  another.dispose();
});

Deno.test("a graph whose part of a buffer has moved or is gone is not launched", () => {
  for (const end of ["moved", "disposed"] as const) {
    const { part, dispose } = partOfAnother();
    const zeros = onDevice([0, 0, 0, 0]);
    const graph = capture(() => sumOf(part, zeros, new LaunchValue(1)));
    assert(graph.valid);
    if (end === "moved") moveOut(backendInternals(), part.dataId);
    else part.dispose();
    submit();
    assert(!graph.valid, end);
    assertThrows(() => graph.launch(), Error, "a tensor that they use is gone");
    graph.dispose();
    zeros.dispose();
    dispose();
  }
});

Deno.test("a part of a buffer that moves or is disposed while it is captured is refused", () => {
  const zeros = onDevice([0, 0, 0, 0]);
  for (const end of [(part: tf.Tensor) => moveOut(backendInternals(), part.dataId), tf.dispose]) {
    const { part, dispose } = partOfAnother();
    assertThrows(
      () =>
        capture(() => {
          const sum = sumOf(part, zeros, new LaunchValue(1));
          end(part);
          return sum;
        }),
      Error,
      "a tensor that was there before is gone or elsewhere when they end",
    );
    dispose();
  }
  zeros.dispose();
});

Deno.test("a graph that is disposed is neither launched nor read; to dispose it again does nothing", async () => {
  const x = onDevice([1, 2, 3]);
  const graph = capture(() => tf.tidy(() => x.square().square()));
  graph.dispose();
  graph.dispose();
  const others = Array.from({ length: 4 }, (_, i) => tf.fill([3], i));
  assert(!graph.valid);
  assertThrows(() => graph.launch(), Error, "Cannot launch captured commands: they are disposed");
  assertThrows(() => graph.output(), Error, "Cannot read the output of captured commands: they are disposed");
  for (const [i, other] of others.entries()) assertEquals(await read(other), [i, i, i]);
  x.dispose();
});

Deno.test("what a launch would not do again is refused while commands are captured", () => {
  const x = onDevice([1, 2, 3]);
  const inner = capture(() => x.square());
  const refused = (body: () => void, message: string) =>
    assertThrows(
      () =>
        capture(() => {
          body();
          return x.square();
        }),
      Error,
      message,
    );
  refused(() => inner.launch(), "Cannot launch captured commands while others are hooked or captured");
  refused(() => writeTensor(x, Float32Array.of(7, 8, 9)), "Cannot write to a tensor: commands are captured");
  inner.dispose();
  x.dispose();
});

Deno.test("nothing is captured while commands are hooked, captured, or outputs poisoned", () => {
  assert(canCapture());
  const x = onDevice([1]);
  const unhook = hookCommands({
    onDispatch: (_name, _dispatch, record) => record(),
    onCopy: (_bytes, record) => record(),
  });
  try {
    assert(!canCapture());
    assertThrows(() => capture(() => x.square()), Error, "Cannot capture commands: they are hooked");
  } finally {
    unhook();
  }
  withPoisonedOutputs(() => assert(!canCapture()));
  const graph = capture(() => {
    assert(!canCapture());
    assertThrows(() => capture(() => x.square()), Error, "Cannot capture commands: they are hooked");
    return x.square();
  });
  assert(canCapture());
  graph.dispose();
  x.dispose();
});
