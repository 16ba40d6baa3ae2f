/**
 * What ran, on what: the facts at the end of a report.
 *
 * @module
 */
import { NETWORK_NAMES, NETWORK_TITLES, type NetworkName } from "../../../models/networks.ts";
import type { Life, NetworkOutcome, RunRecord } from "../record.ts";
import type { ResolvedRun } from "../run_file.ts";
import { duration } from "./html.ts";

/** A name and what it stands for. */
export type Fact = readonly [name: string, value: string];

/** A run as its record has it. */
export type Run = Omit<ResolvedRun, "models"> & {
  readonly models: Record<
    string,
    { readonly architecture: { readonly width: number; readonly size: number } }
  >;
};

/** A network that the record knows, with what came of it. */
export type Outcome = readonly [network: NetworkName, outcome: NetworkOutcome];

/** What came of each network that was begun, in the order of training. */
export function outcomesOf({ networks }: RunRecord): Outcome[] {
  return NETWORK_NAMES.flatMap((network): Outcome[] => {
    const outcome = networks[network];
    return outcome === undefined ? [] : [[network, outcome]];
  });
}

/** The run in a record. */
export function recordedRun({ run }: RunRecord): Run {
  return run as Run;
}

/** The data of a run. */
export function dataInWords({ data }: Run): string {
  const { synthetic, root } = data;
  if (synthetic === undefined) return root;
  return `synthetic faces (${synthetic.tracks} people of ${synthetic.frames} frames, seed ${synthetic.seed}, ${root})`;
}

/** The adapter, the kernels and the sources. */
export function sourceFacts(
  { adapter, versions, variants }: Pick<RunRecord, "adapter" | "versions" | "variants">,
): Fact[] {
  const { deno, tfjs, fervid, kernels, commit, dirty } = versions;
  const layers = kernels === "fervid" ? "Fervid's WGSL kernels" : kernels ?? "unknown";
  return [
    ["adapter", adapter.description + (adapter.software ? " (software: no GPU)" : "")],
    ["kernels", `${layers}, variants: ${variants}`],
    ["versions", `Fervid ${fervid}, TensorFlow.js ${tfjs}, Deno ${deno}`],
    ["commit", commit === null ? "unknown" : commit + (dirty ? ", with changes" : "")],
  ];
}

function livesInWords(lives: readonly Life[]): string {
  const inWords = (life: Life) => sourceFacts(life).map(([name, value]) => `${name} ${value}`).join(", ");
  return lives.map(inWords).join("; ");
}

/** What a run's record says of what ran. */
export function runFacts(record: RunRecord): Fact[] {
  const { data, startedAt, updatedAt, changedKeys: changed, earlierLives = [] } = record;
  const run = recordedRun(record);
  const outcomes = outcomesOf(record);
  const seconds = outcomes.flatMap(([, { epochs }]) => epochs).reduce((sum, epoch) => sum + epoch.seconds, 0);
  const scale = Object.entries(run.models).map(([network, { architecture: { width, size } }]) =>
    `${NETWORK_TITLES[network as NetworkName]}: width ${width}, ${size}x${size} pixels`
  );
  return [
    ...sourceFacts(record),
    ["data", dataInWords(run)],
    [
      "data's fingerprint",
      `annotations ${data.annotations.slice(0, 16)}, images ${data.images.slice(0, 16)}${
        data.imageBytes === null ? "" : `, bytes ${data.imageBytes.slice(0, 16)}`
      } (SHA-256)`,
    ],
    ["scale", `${scale.join("; ")} (the paper: width 64, 224x224)`],
    ["seed", String(run.seed)],
    [
      "pretrained weights",
      run.init === null ? "none" : `${run.init.file} (SHA-256 ${run.init.sha256?.slice(0, 16) ?? "unknown"})`,
    ],
    [
      "time",
      `${duration(seconds)} of training and validation; started ${startedAt}, this state ${updatedAt}`,
    ],
    ...(earlierLives.length === 0
      ? []
      : [["computed before it was resumed", livesInWords(earlierLives)] as const]),
    ...(changed.length === 0 ? [] : [["changed when resumed", changed.join(", ")] as const]),
    ...outcomes.filter(([, { weightsSha256 }]) => weightsSha256 !== null).map((
      [network, { weightsSha256 }],
    ) => [`${NETWORK_TITLES[network]}'s weights`, `SHA-256 ${weightsSha256}`] as const),
  ];
}
