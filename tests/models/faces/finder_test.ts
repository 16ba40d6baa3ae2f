import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { overlap } from "../../../data/faces/geometry.ts";
import { decodeImage, type RgbImage } from "../../../data/images.ts";
import { register } from "../../../kernels/mod.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { FaceDetector, octavesOf } from "../../../models/faces/detector.ts";
import { alignmentPoints, FaceLandmarks } from "../../../models/faces/landmarks.ts";
import { FACE_WEIGHTS } from "../../../models/faces/weights.ts";
import sharp from "sharp";
import golden from "../../golden/faces.json" with { type: "json" };

const SIZE = 416;

/** The picture as large as the detector sees it, as the golden's script makes it. */
async function readFitted(path: string): Promise<RgbImage> {
  const bytes = await Deno.readFile(path);
  const fitted = await sharp(bytes).resize(SIZE, SIZE, { fit: "inside", kernel: "linear" }).png().toBuffer();
  return await decodeImage(new Uint8Array(fitted), path);
}

Deno.test("the faces and landmarks of photographs are those that face-api.js itself finds", async () => {
  await initializeDevice();
  register();
  assertEquals(FACE_WEIGHTS, { source: "@vladmandic/face-api 1.7.15", licence: "MIT" });
  const root = new URL(import.meta.resolve("@vladmandic/face-api/package.json"));
  const detector = await FaceDetector.load();
  const landmarks = await FaceLandmarks.load();
  const tensors = tf.memory().numTensors;
  const images = await Promise.all(golden.map(({ path }) => readFitted(new URL(path, root).pathname)));
  const found = await detector.detect(images, { size: SIZE, minScore: 0.5 });
  for (const [i, { path, faces }] of golden.entries()) {
    assertEquals(found[i].length, faces.length, path);
    const points = await landmarks.find(found[i].map((box) => ({ image: images[i], box })));
    for (const [f, wanted] of faces.entries()) {
      const [x, y, width, height] = wanted.box;
      const shared = found[i].map((box) => overlap(box, { x, y, width, height }));
      const own = shared.indexOf(Math.max(...shared));
      assert(
        shared[own] > 0.99,
        `${path}, face ${f}: ${JSON.stringify(found[i][own])}, wanted ${wanted.box}`,
      );
      assertAlmostEquals(found[i][own].score, wanted.score, 0.01, `${path}, face ${f}`);
      const reference = alignmentPoints(wanted.landmarks.map(([px, py]) => ({ x: px, y: py })));
      alignmentPoints(points[own]).forEach((point, p) => {
        const distance = Math.hypot(point.x - reference[p].x, point.y - reference[p].y);
        assert(distance < 0.06 * width, `${path}, face ${f}, point ${p}: ${distance} pixels of ${width}`);
      });
    }
  }
  // Many faces are looked at in parts: 128 MiB, which a device binds by default, are 334 faces of a layer's output.
  const crowd = golden.flatMap((_, i) => found[i].map((box) => ({ image: images[i], box })));
  const alone = await landmarks.find(crowd);
  const engine = tf.engine();
  const { makeTensor } = engine;
  let most = 0;
  engine.makeTensor = (values, shape, ...rest) => {
    most = Math.max(most, shape[0]);
    return makeTensor.call(engine, values, shape, ...rest);
  };
  const many = await landmarks.find(Array.from({ length: 130 }, (_, i) => crowd[i % crowd.length]));
  engine.makeTensor = makeTensor;
  assertEquals([many.length, most], [130, 128]);
  many.forEach((points, i) =>
    points.forEach(({ x, y }, p) => {
      const wanted = alone[i % crowd.length][p];
      assert(Math.hypot(x - wanted.x, y - wanted.y) < 0.01, `face ${i}, point ${p}: ${x}, ${y}`);
    })
  );
  // A second size adds no second box of a face.
  const both = await detector.detectAtSizes(images, octavesOf(SIZE), 0.5);
  assertEquals(both.map(({ length }) => length), golden.map(({ faces }) => faces.length));
  assertEquals(tf.memory().numTensors, tensors);
  assertEquals(await detector.detect([], { size: 96, minScore: 0.5 }), []);
  await assertRejects(
    () => detector.detect(images, { size: 100, minScore: 0.5 }),
    RangeError,
    "multiple of 32",
  );
  detector.dispose();
  landmarks.dispose();
});

Deno.test("a size is looked at with its halves, down to 160 pixels", () => {
  assertEquals([96, 224, 416, 640].map(octavesOf), [[96], [224], [416, 224], [640, 320, 160]]);
});
