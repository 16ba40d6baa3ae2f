/**
 * `deno task weights inspect|convert|compare`: what is in a file of weights, in any format.
 *
 * @module
 */
import { type PretrainedResNet50, pretrainedResNet50 } from "../models/weights/backbone.ts";
import type { WeightsFile } from "../models/weights/file.ts";
import { type Hints, identify, type Identity } from "../models/weights/identify.ts";
import { openWeights } from "../models/weights/open.ts";
import { writeSafetensors } from "../models/weights/safetensors.ts";
import { elementCount, type StoredTensor, toNumbers } from "../models/weights/tensor.ts";
import { defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { HINT_FLAGS } from "./run/hint_flags.ts";
import { isSameFile, requireWritable } from "./run/files.ts";
import { textTable } from "./run/table.ts";

const command = defineCommand({
  task: "weights",
  summary:
    "Looks into files of weights (.pth, .pt, .pkl, .h5, .npz, .safetensors), converts them to .safetensors, compares two.",
  positionals: [
    { name: "action", description: "what to do", choices: ["inspect", "convert", "compare"], required: true },
    { name: "files", description: "one file; two to compare", required: true, variadic: true },
  ],
  flags: {
    to: { type: "string", placeholder: "FILE.safetensors", description: "where convert writes" },
    for: {
      type: "string",
      choices: ["resnet50"],
      description: "convert, compare: as this network has them (names, layouts, RGB, 32-bit floats)",
    },
    ...HINT_FLAGS,
    tolerance: {
      type: "number",
      min: 0,
      description: "compare: the largest difference that counts as equal (0 if it is not given)",
    },
  },
  examples: [
    "deno task weights inspect resnet50_ft_dag.pth",
    "deno task weights convert resnet50_ft_weight.pkl --for resnet50 --to vggface2.safetensors",
    "deno task weights compare resnet50_ft_dag.pth vggface2.safetensors --for resnet50",
  ],
});

const FLAGS_OF: Readonly<Record<string, readonly (keyof typeof command.flags)[]>> = {
  inspect: [],
  convert: ["to", "for", "graph", "convention"],
  compare: ["for", "graph", "convention", "tolerance"],
};

/** Refuses flags that the action would ignore. */
function requireItsFlags(action: string, options: WeightsOptions): void {
  const wanted = FLAGS_OF[action];
  for (const flag of Object.keys(command.flags) as (keyof typeof command.flags)[]) {
    if (options[flag] === undefined) continue;
    if (!wanted.includes(flag)) {
      throw new UserError(
        `Cannot ${action}: --${flag} is given; expected ${
          wanted.map((name) => `--${name}`).join(", ") || "no flags"
        }`,
      );
    }
    if ((flag === "graph" || flag === "convention") && options.for === undefined) {
      throw new UserError(
        `Cannot ${action}: --${flag} says how to read a ResNet50; expected --for resnet50 with it`,
      );
    }
  }
}

type WeightsOptions = Options<typeof command.flags>;
type Log = (line: string) => void;

const NEXT: Readonly<Record<string, string>> = {
  caffe: "deno task train cnn --init FILE --new-head",
  torchvision: "refused for this toolkit's graph; --graph torchvision runs torchvision's",
};

/** Who wants to be told what a file does not say: `inspect` takes no flags. */
const ASKS = "`train --init` and `weights convert --for resnet50` want";

function inspect(file: WeightsFile, log: Log): Record<string, unknown> {
  const rows = [...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, `[${shape.join(", ")}]`]);
  textTable(["tensor", "dtype", "shape"], rows).forEach((line) => log(line));
  const values = [...file.tensors.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
  log(`\nformat: ${file.format}, ${file.size} bytes, ${rows.length} tensors, ${values} values`);
  const identity = identify(file);
  modelLines(identity).forEach((line) => log(line));
  return {
    file: file.path,
    format: file.format,
    tensors: rows.length,
    values,
    model: identity && {
      description: identity.description,
      naming: identity.naming,
      graph: identity.graph ?? null,
      width: identity.width,
      classes: identity.classes ?? null,
      convention: identity.convention ?? null,
    },
  };
}

/** What a file fits, in words. */
function modelLines(identity: Identity | undefined): string[] {
  if (identity === undefined) return ["model: no ResNet50 in dag, torchvision or Keras names"];
  const { description, width, classes, graph, convention, naming, prefix } = identity;
  const lines = [
    `model: ${description}: width ${width}, ${classes ?? "no"} classes, ${naming} names` +
    (prefix === "" ? "" : ` behind ${JSON.stringify(prefix)}`),
    graph === undefined
      ? `graph: the file does not say; ${ASKS} --graph caffe or --graph torchvision`
      : `graph: ${graph} (${NEXT[graph]})`,
  ];
  if (convention === undefined) {
    return [...lines, `input: the file does not say; ${ASKS} --convention NAME`];
  }
  const { name, order, scale, mean, std } = convention;
  const shown = scale === 1 ? "0..255" : scale === 1 / 255 ? "0..1" : `0..${255 * scale}`;
  return [
    ...lines,
    `input: ${name}: ${order.toUpperCase()} in ${shown}, minus ${mean.join(", ")}, over ${std.join(", ")}`,
  ];
}

/** A file's tensors as they are, or as a network has them. */
function tensorsFor(file: WeightsFile, options: WeightsOptions): {
  tensors: ReadonlyMap<string, StoredTensor>;
  pretrained?: PretrainedResNet50;
} {
  if (options.for === undefined) return { tensors: file.tensors };
  const hints: Hints = { graph: options.graph, convention: options.convention };
  const pretrained = pretrainedResNet50(file, hints);
  return { tensors: pretrained.tensors, pretrained };
}

async function convert(file: WeightsFile, options: WeightsOptions, log: Log) {
  const { to } = options;
  if (to === undefined) {
    throw new UserError("Cannot convert: --to is missing; expected --to FILE.safetensors");
  }
  await requireWritable(to);
  if (await isSameFile(file.path, to)) {
    throw new UserError(`Cannot convert ${file.path} to itself; expected another --to`);
  }
  const { tensors, pretrained } = tensorsFor(file, options);
  await writeSafetensors(to, tensors, pretrained ? metadataOf(pretrained) : { ...file.metadata });
  log(`wrote ${tensors.size} tensors to ${to}`);
  if (pretrained !== undefined && pretrained.ignored.length > 0) {
    log(`left out: ${pretrained.ignored.join(", ")}`);
  }
  return { from: file.path, to, tensors: tensors.size };
}

/** The header of a converted file: what `--init` and `inspect` read. */
function metadataOf({ width, classes, graph, convention }: PretrainedResNet50): Record<string, string> {
  const architecture = { network: "cnn", width, ...(classes ? { classes } : {}), graph };
  return { format: "fervid-weights", version: "1", header: JSON.stringify({ architecture, convention }) };
}

/** The largest difference of two tensors, and where; NaN equals NaN. */
function largestDifference(a: StoredTensor, b: StoredTensor): { difference: number; index: number } {
  const [x, y] = [toNumbers(a.read()), toNumbers(b.read())];
  let [difference, index] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    if (x[i] === y[i] || (Number.isNaN(x[i]) && Number.isNaN(y[i]))) continue;
    const distance = Math.abs(x[i] - y[i]);
    if (!(distance <= difference)) [difference, index] = [Number.isNaN(distance) ? Infinity : distance, i];
  }
  return { difference, index };
}

function compare(a: WeightsFile, b: WeightsFile, options: WeightsOptions, log: Log) {
  const [left, right] = [tensorsFor(a, options).tensors, tensorsFor(b, options).tensors];
  const rows: string[][] = [];
  const { tolerance = 0 } = options;
  let largest = 0;
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const [x, y] = [left.get(name), right.get(name)];
    if (x === undefined || y === undefined) {
      rows.push([name, `only in ${x === undefined ? b.path : a.path}`]);
    } else if (x.shape.join() !== y.shape.join()) {
      rows.push([name, `[${x.shape.join(", ")}] and [${y.shape.join(", ")}]`]);
    } else {
      const { difference, index } = largestDifference(x, y);
      largest = Math.max(largest, difference);
      if (difference > tolerance) {
        rows.push([name, `differ by up to ${difference}, at element ${index}`]);
      }
    }
  }
  if (rows.length > 0) textTable(["tensor", "difference"], rows).forEach((line) => log(line));
  const equal = rows.length === 0;
  log(
    equal
      ? `equal: ${left.size} tensors`
      : `${rows.length} of ${new Set([...left.keys(), ...right.keys()]).size} differ`,
  );
  // JSON has no infinity: it would be null.
  const shown = Number.isFinite(largest) ? largest : String(largest);
  return { a: a.path, b: b.path, equal, differing: rows.length, largestDifference: shown };
}

await runTask(command, Deno.args, async (options, context) => {
  const [action, ...paths] = options.arguments;
  const wanted = action === "compare" ? 2 : 1;
  if (paths.length !== wanted) {
    throw new UserError(`Cannot ${action} ${paths.length} files; expected ${wanted}`);
  }
  requireItsFlags(action, options);
  const { to, tolerance, graph, convention } = options;
  const log = (line: string) => context.log(line);
  if (options.dryRun) {
    log(JSON.stringify({ action, files: paths, to, for: options.for, graph, convention, tolerance }));
    return { dryRun: true };
  }
  using first = await openWeights(paths[0]);
  if (action === "inspect") return inspect(first, log);
  if (action === "convert") return await convert(first, options, log);
  using second = await openWeights(paths[1]);
  return compare(first, second, options, log);
});
