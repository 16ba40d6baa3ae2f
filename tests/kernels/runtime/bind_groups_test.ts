import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { MomentumSgd, register } from "../../../kernels/mod.ts";
import { bindGroup } from "../../../kernels/runtime/bind_groups.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, submit } from "../../../kernels/runtime/program.ts";

await initializeDevice();
register();

const { device } = backendInternals();
const layout = device.createBindGroupLayout({
  entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "read-only-storage" } }],
});

function storage(size: number): GPUBuffer {
  return device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
}

/** Calls of the device's createBindGroup while `body` runs. */
function groupsMade(body: () => void): number {
  const create = device.createBindGroup;
  let count = 0;
  device.createBindGroup = (descriptor) => {
    count++;
    return create.call(device, descriptor);
  };
  try {
    body();
  } finally {
    delete (device as Partial<GPUDevice>).createBindGroup; // an own property hid the prototype's
  }
  assert(device.createBindGroup === create);
  return count;
}

Deno.test("the same bindings have one group, others another one", () => {
  const [a, b] = [storage(1024), storage(1024)];
  const other = device.createBindGroupLayout({
    entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "read-only-storage" } }],
  });
  const groups = () => [
    bindGroup(device, layout, [{ buffer: a }]),
    bindGroup(device, layout, [{ buffer: b }]),
    bindGroup(device, layout, [{ buffer: a, offset: 256 }]),
    bindGroup(device, layout, [{ buffer: a, size: 256 }]),
    bindGroup(device, layout, [{ buffer: a, offset: 256, size: 256 }]),
    bindGroup(device, other, [{ buffer: a }]),
  ];
  const first = groups();
  assertEquals(new Set(first).size, first.length);
  assertEquals(groupsMade(() => groups().forEach((group, i) => assert(group === first[i], `group ${i}`))), 0);
  [a, b].forEach((buffer) => buffer.destroy());
});

Deno.test("a group is kept while it is used, and goes when thousands of others were", () => {
  const [kept, left] = [storage(16), storage(16)];
  const buffers = Array.from({ length: 5000 }, () => storage(16));
  bindGroup(device, layout, [{ buffer: left }]);
  const group = bindGroup(device, layout, [{ buffer: kept }]);
  for (const buffer of buffers) {
    bindGroup(device, layout, [{ buffer }]);
    assert(bindGroup(device, layout, [{ buffer: kept }]) === group);
  }
  assertEquals(groupsMade(() => bindGroup(device, layout, [{ buffer: left }])), 1);
  [kept, left, ...buffers].forEach((buffer) => buffer.destroy());
});

Deno.test("a training step meets the bind groups of the one before", () => {
  const x = tf.randomNormal([5, 7]);
  const weights = [tf.variable(tf.randomNormal([7, 11])), tf.variable(tf.randomNormal([11, 3]))];
  const sgd = new MomentumSgd(weights.map(({ shape }) => ({ shape, weightDecay: 0.1 })), { momentum: 0.9 });
  const step = () => {
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(
        () => x.matMul<tf.Tensor2D>(weights[0]).matMul(weights[1]).square().mean().asScalar(),
      );
      sgd.update(weights, weights.map(({ name }) => grads[name]), 0.01, value as tf.Scalar);
    });
    submit();
  };
  const firsts = groupsMade(step);
  step();
  // tfjs's own kernels make theirs anew each time; ours are the rest.
  const stock = groupsMade(step);
  assert(firsts > stock, `${firsts} groups at first, ${stock} in a later step`);
  assertEquals(groupsMade(step), stock);
  sgd.dispose();
  tf.dispose([x, ...weights]);
});
