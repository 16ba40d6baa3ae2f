import { assertEquals, assertRejects } from "@std/assert";
import { EXPR_CONVENTION } from "../../../data/input_convention.ts";
import { NETWORK_NAMES, sizesFor } from "../../../models/networks.ts";
import { writeSafetensors } from "../../../models/weights/safetensors.ts";
import { loadCheckpoint } from "../../../tasks/run/checkpoint.ts";
import { recipeFor } from "../../../tasks/run/recipe.ts";

const HEADER = {
  architecture: { ...sizesFor("rnn", "tiny"), classes: 7 },
  labelSet: "expression",
  recipe: recipeFor("rnn", "tiny"),
  convention: EXPR_CONVENTION,
  seed: 1,
  position: { epoch: 2, step: 0, lossSum: 0 },
  history: [],
};

async function load(metadata: Record<string, string>) {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/x.safetensors`;
    await writeSafetensors(
      path,
      new Map([["momentum/a", { dtype: "F32", shape: [1], data: Float32Array.of(1) }]]),
      {
        format: "fervid-checkpoint",
        version: "1",
        ...metadata,
      },
    );
    return await loadCheckpoint(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a checkpoint's header comes back as it was written, for every network", async () => {
  for (const network of NETWORK_NAMES) {
    const header = { ...HEADER, architecture: { ...sizesFor(network, "paper"), classes: 7 }, more: [1] };
    const { path: _, weights, momenta, ...rest } = await load({ header: JSON.stringify(header) });
    assertEquals(rest as unknown, header);
    assertEquals([weights.size, [...momenta.keys()]], [0, ["a"]]);
  }
});

Deno.test("a checkpoint whose header does not hold is refused by file and place", async () => {
  const { hidden: _, ...noHidden } = HEADER.architecture as Record<string, unknown>;
  const cases: [Record<string, string>, string][] = [
    [{}, "x.safetensors: its header is missing; expected what `train` writes"],
    [{ header: "{" }, "x.safetensors: its header is no JSON"],
    [{ header: "null" }, "x.safetensors: its header does not hold: "],
    [{ header: "[]" }, "x.safetensors: its header does not hold: "],
    [{ header: JSON.stringify({ ...HEADER, architecture: null }) }, "does not hold: architecture: "],
    [
      { header: JSON.stringify({ ...HEADER, architecture: noHidden }) },
      "does not hold: architecture: hidden: ",
    ],
    [{ header: JSON.stringify({ ...HEADER, labelSet: "x" }) }, "does not hold: labelSet: "],
    [{ header: JSON.stringify({ ...HEADER, position: { epoch: -1, step: 0 } }) }, "position: epoch: "],
    [
      { header: JSON.stringify({ ...HEADER, convention: { ...EXPR_CONVENTION, mean: [1] } }) },
      "convention: mean",
    ],
    [{ header: JSON.stringify(HEADER), version: "2" }, "version 2; expected fervid-checkpoint, version 1"],
  ];
  for (const [metadata, reason] of cases) await assertRejects(() => load(metadata), Error, reason);
});
