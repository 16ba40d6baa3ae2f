import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { RandomStream } from "../../data/random.ts";
import {
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dGeometry,
  type Tile,
} from "../../kernels/conv2d/conv2d.ts";
import { EDGE_CASES, RESNET50_CASES, toleranceOf } from "../../kernels/conv2d/conv2d_cases.ts";
import {
  conv2dBackwardFilterRef,
  conv2dBackwardInputRef,
  conv2dForwardRef,
} from "../../kernels/conv2d/conv2d_ref.ts";
import { register, unregister } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";

await initializeDevice();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "conv2d");

function draw(shape: number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, shape) };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function check(name: string, g: Conv2dGeometry, tiles?: Record<"forward" | "input" | "filter", Tile>) {
  const x = draw([g.images, g.height, g.width, g.channels]);
  const f = draw([g.filterHeight, g.filterWidth, g.channels, g.outChannels]);
  const dy = draw([g.images, g.outHeight, g.outWidth, g.outChannels]);
  const [y, dx, df] = withPoisonedOutputs(() => [
    conv2dForward(x.tensor, f.tensor, g, tiles?.forward),
    conv2dBackwardInput(dy.tensor, f.tensor, g, tiles?.input),
    conv2dBackwardFilter(x.tensor, dy.tensor, g, tiles?.filter),
  ]);
  const taps = g.filterHeight * g.filterWidth;
  const label = `${name} (seed ${seed})`;
  compare(
    `conv2d ${label}`,
    await read(y),
    conv2dForwardRef(x.values, f.values, g),
    toleranceOf(taps * g.channels),
  );
  const inputRef = conv2dBackwardInputRef(dy.values, f.values, g);
  compare(`conv2d dInput ${label}`, await read(dx), inputRef, toleranceOf(taps * g.outChannels));
  const pixels = g.images * g.outHeight * g.outWidth;
  const filterRef = conv2dBackwardFilterRef(x.values, dy.values, g);
  compare(`conv2d dFilter ${label}`, await read(df), filterRef, toleranceOf(pixels));
  tf.dispose([x.tensor, f.tensor, dy.tensor]);
}

for (const { name, geometry } of [...EDGE_CASES, ...RESNET50_CASES]) {
  Deno.test(`conv2d: ${name}`, () => check(name, geometry));
}

Deno.test("conv2d: every tile size", async () => {
  const { geometry } = EDGE_CASES[1];
  for (const [rows, columns] of [[1, 1], [2, 1], [1, 2], [3, 2], [2, 3]]) {
    const tile = { rows, columns };
    await check(`tile ${rows}x${columns}`, geometry, { forward: tile, input: tile, filter: tile });
  }
});

Deno.test("conv2d: tfjs's convolution gives the same with our kernels registered, gradients too", async () => {
  const shapes: [number[], number[], number | "same" | "valid", number][] = [
    [[2, 8, 9, 4], [3, 3, 4, 8], "same", 2],
    [[1, 7, 7, 8], [2, 2, 8, 4], "valid", 1],
    [[1, 6, 6, 3], [3, 3, 3, 5], 1, 1], // channels that the kernels don't take: the stock op
  ];
  for (const [xShape, fShape, pad, strides] of shapes) {
    const x = draw(xShape).tensor as tf.Tensor4D;
    const f = draw(fShape).tensor as tf.Tensor4D;
    const results: Float32Array[][] = [];
    for (const ours of [true, false]) {
      if (ours) register();
      else unregister();
      const loss = (a: tf.Tensor, b: tf.Tensor) =>
        tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, strides, pad).sin().sum() as tf.Scalar;
      const [dx, df] = tf.grads(loss)([x, f]);
      const tensors = [tf.conv2d(x, f, strides, pad), dx, df];
      results.push(await Promise.all(tensors.map((tensor) => tensor.data<"float32">())));
      tf.dispose(tensors);
    }
    register();
    results[0].forEach((values, part) =>
      compare(`tfjs ${xShape} part ${part} (seed ${seed})`, values, results[1][part], 1e-4)
    );
    tf.dispose([x, f]);
  }
});
