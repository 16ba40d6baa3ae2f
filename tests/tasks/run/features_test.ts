import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { CONVENTIONS, EXPR_CONVENTION } from "../../../data/input_convention.ts";
import { readDataset } from "../../../data/aff_wild2/mod.ts";
import { synthesize } from "../../../data/synthetic/mod.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { architectureFor, createNetwork, TemporalNetwork } from "../../../models/networks.ts";
import { hashSources, noteVariants } from "../../../tasks/run/computed_by.ts";
import { openFeatures } from "../../../tasks/run/features.ts";
import type { FrameOptions } from "../../../tasks/run/frames.ts";
import { createTemporary } from "../../../tasks/run/lock.ts";
import { inFolder } from "./_run.ts";

const OPTIONS: FrameOptions = { size: 32, convention: EXPR_CONVENTION, batchSize: 16 };

function networkOf(seed: number, graph: "caffe" | "torchvision" = "caffe"): TemporalNetwork {
  const architecture = { ...architectureFor("rnn", "tiny", 7), width: 4, size: 32, graph };
  const network = createNetwork(architecture, seed);
  assert(network instanceof TemporalNetwork);
  return network;
}

async function smallSet(folder: string) {
  await synthesize({ out: folder, tracks: 2, frames: 4, size: 48, seed: 1, balanced: true });
  return await readDataset(folder, { labelSet: "expression", split: "train" });
}

Deno.test("features are kept for what made them, and for nothing else", () =>
  inFolder(async (folder) => {
    await initializeDevice();
    const dataset = await smallSet(`${folder}/data`);
    const cache = `${folder}/features`;
    const files = () =>
      [...Deno.readDirSync(cache)].map(({ name }) => name).filter((name) => /f32$/.test(name));
    const made = async (network: TemporalNetwork, options: Partial<FrameOptions> = {}) => {
      const store = await openFeatures(network, dataset, cache, { ...OPTIONS, ...options });
      const values = await store.gather([0]);
      store.close();
      return values;
    };
    const network = networkOf(1);
    const plain = await made(network);
    const [path] = files();
    const bytes = new Float32Array((await Deno.readFile(`${cache}/${path}`)).buffer);
    assertEquals(bytes.slice(0, plain.length), plain);
    bytes[0] = 123; // to see whether the file is read
    await Deno.writeFile(`${cache}/${path}`, new Uint8Array(bytes.buffer));
    assertEquals((await made(network))[0], 123);
    assertEquals(files(), [path]);

    const others: [string, () => Promise<Float32Array>][] = [
      ["weights", () => made(networkOf(2))],
      ["graph", () => made(networkOf(1, "torchvision"))],
      ["convention", () => made(network, { convention: CONVENTIONS.vggface2 })],
      ["size", () => made(network, { size: 48 })],
      ["flip", () => made(network, { flip: true })],
    ];
    for (const [i, [what, make]] of others.entries()) {
      assertNotEquals((await make())[0], 123, what);
      assertEquals(files().length, i + 2, what);
    }
    noteVariants("tuned");
    try {
      assertEquals((await made(network))[0], plain[0]);
      assertEquals(files().length, others.length + 2);
    } finally {
      noteVariants("shipped");
    }
  }));

Deno.test("the sources' hash changes with a kernel, a model and the lock file, with nothing else", () =>
  inFolder(async (folder) => {
    const root = new URL(`file://${folder}/`);
    await Deno.mkdir(`${folder}/kernels/relu`, { recursive: true });
    await Deno.mkdir(`${folder}/models`);
    const hashes = [hashSources(root)];
    for (const name of ["kernels/relu/relu.wgsl", "models/a.ts", "deno.lock"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "1");
      hashes.push(hashSources(root));
    }
    assertEquals(new Set(hashes).size, 4);
    await Deno.writeTextFile(`${folder}/kernels/README.md`, "1");
    assertEquals(hashSources(root), hashes[3]);
  }));

Deno.test("two that write the same features at once do not meet, and what a killed one left goes", () =>
  inFolder(async (folder) => {
    await initializeDevice();
    const dataset = await smallSet(`${folder}/data`);
    const cache = `${folder}/features`;
    const [a, b] = await Promise.all([networkOf(1), networkOf(1)].map(async (network) => {
      const store = await openFeatures(network, dataset, cache, { ...OPTIONS, batchSize: 1 });
      return await store.gather([0, 1, 2, 3]);
    }));
    assertEquals(a, b);
    assert(a.every(Number.isFinite) && a.some((value) => value !== 0));
    const names = () => [...Deno.readDirSync(cache)].map(({ name }) => name);
    const [path] = names().filter((name) => name.endsWith(".f32"));
    assertEquals(names().length, 2); // and the list of rows that were left out

    await Deno.writeTextFile(`${cache}/${path}.1-dead.tmp`, "");
    const first = createTemporary(`${cache}/${path}`);
    const second = createTemporary(`${cache}/${path}`);
    assertNotEquals(first.temporary, second.temporary);
    assertEquals(names().filter((name) => name.endsWith(".tmp")).length, 2);
    first.file.close();
    second.file.close();
  }));
