// Makes faces.json: what face-api.js itself finds in the photographs of its package, to hold our graph against.
// Development only: npm install @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
// sharp@0.35.5, then: node make_faces.mjs > faces.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import sharp from "sharp";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
await tf.setBackend("cpu");

function packageFile(path) {
  return require.resolve("@vladmandic/face-api/package.json").replace(/package\.json$/, path);
}

function load(net, name) {
  const folder = packageFile("model/");
  const [{ weights }] = JSON.parse(readFileSync(`${folder}${name}-weights_manifest.json`, "utf8"));
  const bytes = readFileSync(`${folder}${name}.bin`);
  net.loadFromWeightMap(tf.io.decodeWeights(new Uint8Array(bytes).buffer, weights));
}

load(faceapi.nets.tinyFaceDetector, "tiny_face_detector_model");
load(faceapi.nets.faceLandmark68Net, "face_landmark_68_model");

const SIZE = 416; // the pictures are brought to it first, so that both detectors see the same pixels
const IMAGES = ["demo/sample3.jpg", "demo/sample5.jpg"];
const round = (x) => Math.round(x * 100) / 100;
const images = [];
for (const path of IMAGES) {
  const { data, info } = await sharp(packageFile(path)).resize(SIZE, SIZE, {
    fit: "inside",
    kernel: "linear",
  })
    .removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const image = tf.tensor3d(new Float32Array(data), [info.height, info.width, 3]);
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: SIZE, scoreThreshold: 0.5 });
  const found = await faceapi.detectAllFaces(image, options).withFaceLandmarks();
  images.push({
    path,
    faces: found.map(({ detection: { box, score }, landmarks }) => ({
      box: [box.x, box.y, box.width, box.height].map(round),
      score: round(score),
      landmarks: landmarks.positions.map(({ x, y }) => [x, y].map(round)),
    })),
  });
}
console.log(JSON.stringify(images));
