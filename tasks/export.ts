/**
 * `deno task export --onnx FILE`: a network or the ensemble as an ONNX model.
 *
 * @module
 */
import type { NetworkName } from "../models/networks.ts";
import { exportEnsemble, exportNetwork } from "../models/onnx/export.ts";
import { type Checkpoint, loadCheckpoint } from "./run/checkpoint.ts";
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { isSameFile, requireWritable, writeBytesAtomic } from "./run/files.ts";

const command = defineCommand({
  task: "export",
  summary: "Writes a network, or the ensemble, as an ONNX model (opset 17) that takes RGB images in 0..255.",
  positionals: [{
    name: "weights",
    description: "a checkpoint of `train`, or the ensemble.json of `ensemble`",
    required: true,
  }],
  flags: {
    onnx: { type: "string", placeholder: "FILE.onnx", required: true, description: "where the model goes" },
  },
  examples: [
    "deno task export out/demo/rnn.safetensors --onnx rnn.onnx",
    "deno task export out/ensemble/ensemble.json --onnx ensemble.onnx",
  ],
});

/** Refuses to write over what is read. */
async function requireOther(onnx: string, input: string): Promise<void> {
  if (await isSameFile(onnx, input)) {
    throw new UserError(`Cannot export to ${onnx}: ${input} is read from there; expected another --onnx`);
  }
}

/** Reads what `deno task ensemble` wrote. */
async function readEnsemble(path: string, onnx: string): Promise<(Checkpoint & { weight: number })[]> {
  const fail = (reason: string): never => {
    throw new UserError(`Cannot export ${path}: ${reason}; expected the ensemble.json of \`ensemble\``);
  };
  let content: { weights?: Partial<Record<NetworkName, unknown>>; checkpoints?: unknown };
  try {
    content = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    return fail((error as Error).message);
  }
  const { weights, checkpoints } = content ?? {};
  if (!Array.isArray(checkpoints) || typeof weights !== "object" || weights === null) {
    return fail("it has no weights and checkpoints");
  }
  const members: (Checkpoint & { weight: number })[] = [];
  for (const file of checkpoints) {
    await requireOther(onnx, String(file));
    const checkpoint = await loadCheckpoint(String(file));
    const { network } = checkpoint.architecture;
    if (checkpoint.labelSet !== "expression") fail(`${file} in it is of ${checkpoint.labelSet}`);
    if (members.some(({ architecture }) => architecture.network === network)) {
      fail(`two checkpoints in it are of the ${network}`);
    }
    const weight = weights[network] ?? 0;
    if (typeof weight !== "number" || !(weight >= 0)) {
      return fail(`a weight in it is ${JSON.stringify(weight)}`);
    }
    members.push({ ...checkpoint, weight });
  }
  if (!members.some(({ weight }) => weight > 0)) fail("no network in it has a weight above 0");
  return members;
}

await runTask(command, Deno.args, async (options, context) => {
  const { onnx, dryRun, arguments: [weights] } = options;
  context.log(JSON.stringify({ weights, onnx }));
  if (dryRun) return { dryRun: true };
  await requireOther(onnx, weights);
  await requireWritable(onnx);
  let bytes: Uint8Array;
  let networks: Record<string, number>;
  if (weights.endsWith(".json")) {
    const members = await readEnsemble(weights, onnx);
    bytes = exportEnsemble(members);
    networks = Object.fromEntries(members.map(({ architecture, weight }) => [architecture.network, weight]));
  } else {
    const checkpoint = await loadCheckpoint(weights);
    bytes = exportNetwork(checkpoint, checkpoint.labelSet);
    networks = { [checkpoint.architecture.network]: 1 };
  }
  await writeBytesAtomic(onnx, bytes);
  return { weights, onnx, bytes: bytes.length, networks };
});
