/**
 * Run files: one JSON file (comments allowed) that holds the whole configuration of a run. What a file leaves out is
 * the preset's; `resolveRun` fills it in, and what it returns is a run file again, the one a record keeps.
 *
 * @module
 */
import { parse, type ParseError, printParseErrorCode } from "jsonc-parser";
import { z } from "zod";
import { CONVENTIONS, type InputConvention } from "../../data/input_convention.ts";
import { PREFETCH_BYTES } from "../../data/prefetch.ts";
import { DEFAULT_STEP, isSearchStep } from "../../models/ensemble.ts";
import { isTemporal, NETWORK_NAMES, type NetworkName, type Sizes, sizesFor } from "../../models/networks.ts";
import { DEFAULT_FOLDS } from "../../models/selection.ts";
import { nearest, UserError } from "./cli.ts";
import { type Recipe, recipeFor } from "./recipe.ts";
import { impossibilities } from "./requirements.ts";

const natural = z.int().min(0);
const positive = z.int().min(1);
const share = z.number().min(0).max(1);
const range = z.tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= high, "the first number is above the second");

const recipeSchema = z.strictObject({
  epochs: positive,
  batchSize: z.int().min(2),
  samplesPerEpoch: positive.nullable(),
  lr: z.number().positive(),
  warmupSteps: natural,
  milestones: z.array(positive),
  gamma: share,
  momentum: share,
  weightDecay: z.number().min(0),
  augmentation: z.strictObject({ scale: range, ratio: range, flip: share }).nullable(),
  loss: z.strictObject({
    classWeights: z.enum(["none", "inverse"]).default("none"),
    labelSmoothing: z.number().min(0).lt(1).default(0),
    focal: z.number().min(0).default(0),
  }),
  sampling: z.enum(["shuffled", "balanced"]),
  finetune: z.boolean(),
  window: positive.refine((value) => value % 2 === 1, "expected an odd number, which has a middle frame"),
  stride: positive,
}).partial();

const graph = z.enum(["caffe", "torchvision"]);
const sizes = { width: z.int().min(4), size: z.int().min(32) };
const backbone = { ...sizes, graph };
const embedding = { embedding: z.int().min(4) };
const architectures = {
  vgg: z.strictObject({ ...sizes }).partial(),
  cnn: z.strictObject({ ...backbone }).partial(),
  rnn: z.strictObject({
    ...backbone,
    ...embedding,
    layers: positive,
    hidden: positive,
    bidirectional: z.boolean(),
  }).partial(),
  transformer: z.strictObject({
    ...backbone,
    ...embedding,
    depth: positive,
    heads: positive,
    dropout: z.number().min(0).lt(1),
  }).partial(),
};

function modelSchema<T extends z.ZodType>(architecture: T) {
  return z.strictObject({ architecture: architecture.optional(), recipe: recipeSchema.optional() });
}

const runSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, "expected letters, digits, _ . -").default("run"),
  seed: natural.default(1),
  preset: z.enum(["paper", "tiny"]).default("paper"),
  data: z.strictObject({
    root: z.string().min(1),
    labelSet: z.enum(["expression", "action_units", "joint", "identity"]).default("expression"),
    /** drawn into `root` if it is not there */
    synthetic: z.strictObject({
      tracks: z.int().min(2),
      frames: positive,
      seed: natural.default(1),
      size: z.int().min(32).default(112),
      balanced: z.boolean().default(false),
    }).optional(),
    /** whether the record's fingerprint covers the bytes of all images */
    hashImages: z.boolean().default(false),
    /** an image that cannot be used ends the run, or its frame is left out (data/bad_images.ts) */
    onBadImage: z.enum(["error", "skip"]).default("error"),
    /** what `prepare` wrote; null: beside the data, if it is there */
    index: z.string().min(1).nullable().default(null),
  }),
  /** weights that are given bring their own */
  convention: z.enum(["expr", "vggface2", "imagenet"]).default("expr"),
  /** pretrained weights of the backbone, in any format */
  init: z.strictObject({
    file: z.string().min(1),
    graph: graph.optional(),
    convention: z.enum(Object.keys(CONVENTIONS)).optional(),
    newHead: z.boolean().default(false),
    sha256: z.string().optional(),
  }).nullable().default(null),
  /** a CNN's checkpoint: the frozen backbone, where the run trains no CNN itself */
  backbone: z.string().nullable().default(null),
  /** of the backbone's file; filled in by the run */
  backboneSha256: z.string().optional(),
  /** for all networks; a network's own recipe comes on top */
  recipe: recipeSchema.default({}),
  models: z.strictObject({
    vgg: modelSchema(architectures.vgg).optional(),
    cnn: modelSchema(architectures.cnn).optional(),
    rnn: modelSchema(architectures.rnn).optional(),
    transformer: modelSchema(architectures.transformer).optional(),
  }).refine(
    (models) => Object.keys(models).length > 0,
    "expected at least one of vgg, cnn, rnn, transformer",
  ),
  /** the file of `deno task tune` whose kernel variants run; null: the shipped defaults */
  tuning: z.strictObject({ variants: z.string().nullable().default(null) }).prefault({}),
  checkpoint: z.strictObject({ everySteps: positive.default(500) }).prefault({}),
  /** how images are read; nothing that comes out depends on it */
  loader: z.strictObject({
    /** that decode, augment and resize; 0: the main thread does; null: by the machine's cores */
    workers: natural.nullable().default(null),
    /** what batches made ahead may take */
    prefetchMegabytes: positive.default(PREFETCH_BYTES / 2 ** 20),
  }).prefault({}),
  evaluation: z.strictObject({
    folds: z.int().min(2).default(DEFAULT_FOLDS),
    step: z.number().max(0.5).refine(
      isSearchStep,
      "expected a step of at least .01 that divides 1, such as .05 or .1",
    )
      .default(DEFAULT_STEP),
    /** also score with probabilities smoothed along the tracks, the width chosen by cross-validation */
    smoothing: z.boolean().default(true),
    /** also score every annotated frame, those without a crop filled in between their neighbours */
    interpolation: z.boolean().default(true),
    /** average the probabilities of a frame and of its mirror image */
    flip: z.boolean().default(false),
  }).prefault({}),
});

/** A run file as it is read. */
export type RunFile = z.infer<typeof runSchema>;

/** A network of a run with all its settings; its number of classes comes with the data. */
export interface ModelRun {
  readonly architecture: Sizes;
  readonly recipe: Recipe;
}

/** A run with nothing left open; as JSON it is a run file that means the same. */
export interface ResolvedRun extends Omit<RunFile, "models" | "recipe"> {
  readonly models: Readonly<Partial<Record<NetworkName, ModelRun>>>;
}

/** The networks of a run in the order in which they are trained. */
export function networksOf(run: ResolvedRun): NetworkName[] {
  return NETWORK_NAMES.filter((network) => run.models[network] !== undefined);
}

/** The input convention of a run. */
export function conventionOf(run: Pick<ResolvedRun, "convention">): InputConvention {
  return CONVENTIONS[run.convention];
}

/**
 * Reads a run file and applies `--set` overrides (`recipe.lr=1e-3`).
 *
 * @param flags keys of the recipe that flags give to every network, also to one with a recipe of its own
 * @throws {UserError} naming file, key, what was given and what was wanted
 */
export async function readRunFile(
  path: string,
  overrides: readonly string[] = [],
  flags: readonly string[] = [],
): Promise<ResolvedRun> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new UserError(`Cannot read run file ${path}: ${(error as Error).message}; expected a JSON file`);
  }
  const problems: ParseError[] = [];
  const content: unknown = parse(text, problems, { allowTrailingComma: true });
  if (problems.length > 0) {
    const { offset, error } = problems[0];
    const line = text.slice(0, offset).split("\n").length;
    throw new UserError(`Cannot read run file ${path}:${line}: ${printParseErrorCode(error)}; expected JSON`);
  }
  return resolveRun(withoutOwn(content, flags), path, overrides);
}

/** The content without these keys in the networks' own recipes. */
function withoutOwn(content: unknown, keys: readonly string[]): unknown {
  const copy = structuredClone(content) as { models?: Record<string, { recipe?: Record<string, unknown> }> };
  for (const model of Object.values(copy?.models ?? {})) for (const key of keys) delete model?.recipe?.[key];
  return copy;
}

/**
 * Checks the content of a run file and fills in what it leaves out.
 *
 * @param source named in errors
 * @throws {UserError} naming the key, what was given and what was wanted
 */
export function resolveRun(content: unknown, source: string, overrides: readonly string[] = []): ResolvedRun {
  const changed = overrides.reduce((value, override) => applyOverride(value, override), content);
  const parsed = runSchema.safeParse(changed);
  if (!parsed.success) {
    throw new UserError(
      `Cannot use ${source}: ${parsed.error.issues.map(describeIssue(changed)).join("; ")}`,
    );
  }
  const { models, recipe, ...rest } = parsed.data;
  const resolved: Partial<Record<NetworkName, ModelRun>> = {};
  for (const network of NETWORK_NAMES) {
    const settings = models[network];
    if (settings === undefined) continue;
    const { window, stride, augmentation, ...shared } = recipe;
    // A single frame has no window, and a frozen backbone sees frames as they are.
    const augmented = augmentation !== undefined &&
      (!isTemporal(network) || (settings.recipe?.finetune ?? shared.finetune));
    const applicable = {
      ...shared,
      ...(isTemporal(network) && window ? { window } : {}),
      ...(isTemporal(network) && stride ? { stride } : {}),
      ...(augmented ? { augmentation } : {}),
    };
    resolved[network] = {
      architecture: {
        ...sizesFor(network, rest.preset),
        ...settings.architecture,
      } as Sizes,
      recipe: { ...recipeFor(network, rest.preset, rest.data.labelSet), ...applicable, ...settings.recipe },
    };
  }
  const run = { ...rest, models: resolved };
  const problems = impossibilities(run);
  if (problems.length > 0) throw new UserError(`Cannot use ${source}: ${problems.join("; ")}`);
  return run;
}

/** A resolved run as the content of a run file. */
export function toRunFile({ models, ...rest }: ResolvedRun): unknown {
  const files = Object.entries(models).map(([network, { architecture, recipe }]) => {
    const { network: _, ...sizes } = architecture;
    return [network, { architecture: sizes, recipe }];
  });
  return { ...rest, models: Object.fromEntries(files) };
}

/** Sets one `path.to.key=value`; the value is JSON, or else a text. */
function applyOverride(content: unknown, override: string): unknown {
  const at = override.indexOf("=");
  if (at < 1) throw new UserError(`Cannot apply --set ${override}: expected key=value, e.g. recipe.lr=1e-3`);
  const keys = override.slice(0, at).split(".");
  const text = override.slice(at + 1);
  let value: unknown = text;
  try {
    value = JSON.parse(text);
  } catch {
    // not JSON: a text, as on any command line
  }
  if (typeof (content ?? {}) !== "object" || Array.isArray(content)) {
    throw new UserError(
      `Cannot apply --set ${override}: the run file is ${JSON.stringify(content)}; expected an object`,
    );
  }
  const root = structuredClone(content ?? {}) as Record<string, unknown>;
  let parent = root;
  for (const key of keys.slice(0, -1)) {
    const child = Object.hasOwn(parent, key) ? parent[key] : undefined;
    if (child !== undefined && (typeof child !== "object" || child === null)) {
      throw new UserError(
        `Cannot apply --set ${override}: ${key} is ${JSON.stringify(child)}, not an object`,
      );
    }
    parent = (parent[key] = child ?? {}) as Record<string, unknown>;
  }
  parent[keys[keys.length - 1]] = value;
  return root;
}

/** The keys that a part of a run file may have. */
function keysAt(path: readonly PropertyKey[]): string[] {
  type Node = { properties?: Record<string, Node>; anyOf?: Node[] };
  let node: Node | undefined = z.toJSONSchema(runSchema, { io: "input" }) as Node;
  for (const key of path) {
    const options: Node[] = node?.anyOf ?? (node ? [node] : []);
    node = options.find(({ properties }) => properties && Object.hasOwn(properties, key))
      ?.properties?.[String(key)];
  }
  const shape = [node, ...node?.anyOf ?? []].find((option) => option?.properties !== undefined);
  return Object.keys(shape?.properties ?? {});
}

/** An issue in words: the key, what was given, what was wanted. */
function describeIssue(content: unknown): (issue: z.core.$ZodIssue) => string {
  return (issue) => {
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => {
        const known = keysAt(issue.path);
        const meant = nearest(key, known);
        const hint = meant ? `did you mean ${meant}?` : `expected ${known.join(", ") || "no keys"}`;
        return `unknown key ${[...issue.path, key].join(".")}; ${hint}`;
      }).join("; ");
    }
    const given = issue.path.reduce<unknown>(
      (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
      content,
    );
    const wanted = issue.message.replace(/^Invalid \w+: /, "").replace(/, received.*$/, "");
    return given === undefined
      ? `${path || "the file"} is missing; ${wanted}`
      : `${path || "the file"} is ${JSON.stringify(given)}; ${wanted}`;
  };
}
