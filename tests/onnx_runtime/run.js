// Runs an ONNX model: `run.js MODEL INPUT OUTPUT DIMS`; INPUT and OUTPUT hold float32 values. Prints output's names and dims.
// A process of its own, outside of deno.json and deno.lock, so that nobody but the tests fetches ONNX Runtime (288 MB).
import ort from "npm:onnxruntime-node@1.30.0";

const [model, input, output, dims] = Deno.args;
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const values = new Float32Array((await Deno.readFile(input)).buffer);
const results = await session.run({ images: new ort.Tensor("float32", values, dims.split(",").map(Number)) });
const { data, dims: shape } = results[session.outputNames[0]];
await Deno.writeFile(output, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
console.log(JSON.stringify({ names: session.outputNames, dims: [...shape].map(Number) }));
