import { assert, assertEquals, assertRejects } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { architectureFor, createNetwork } from "../../../models/networks.ts";
import { Sgd } from "../../../models/optimizer.ts";
import { EXPR_CONVENTION } from "../../../data/input_convention.ts";
import { loadCheckpoint, previousPath, saveCheckpoint } from "../../../tasks/run/checkpoint.ts";
import { UserError } from "../../../tasks/run/cli.ts";
import { recipeFor } from "../../../tasks/run/recipe.ts";
import { onFullDisk } from "../../_full_disk.ts";
import { lastLine, task, taskCommand } from "../_task.ts";

const KILLS = 6;

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Writes a run file of one network with many checkpoints, and draws its data. */
async function prepare(folder: string): Promise<string> {
  const file = `${folder}/run.json`;
  const synthetic = { tracks: 6, frames: 16, size: 48, balanced: true };
  await Deno.writeTextFile(
    file,
    JSON.stringify({
      name: "killed",
      preset: "tiny",
      data: { root: `${folder}/data`, synthetic },
      models: { cnn: { architecture: { width: 4, size: 32 } } },
      recipe: { epochs: 4, batchSize: 4, samplesPerEpoch: 60 },
      checkpoint: { everySteps: 2 },
    }),
  );
  return file;
}

Deno.test("a training that is killed at random moments leaves whole checkpoints and ends with the same weights", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = await prepare(folder);
    const whole = lastLine(await task("train", "--run", file, "--out", `${folder}/whole`));
    const out = `${folder}/killed`;
    const checkpoint = `${out}/cnn.safetensors`;
    let steps = -1;
    for (let kill = 0; kill < KILLS; kill++) {
      const child = taskCommand("train", "--run", file, "--out", out, "--resume").spawn();
      const before = await exists(checkpoint) ? (await Deno.stat(checkpoint)).mtime!.getTime() : 0;
      const ended = child.status.then(() => true);
      // Killed a random while after its first checkpoint, so that every life gets on.
      const progressed = async () =>
        await exists(checkpoint) && (await Deno.stat(checkpoint)).mtime!.getTime() > before;
      const pause = (ms: number) => new Promise<false>((resolve) => setTimeout(() => resolve(false), ms));
      let done = false;
      while (!done && !await progressed()) done = await Promise.race([ended, pause(5)]);
      if (!done) await Promise.race([ended, pause(Math.random() * 600)]);
      try {
        child.kill("SIGKILL");
      } catch {
        // it ended by itself
      }
      await Promise.all([child.stdout.cancel(), child.stderr.cancel(), child.status]);
      const { position } = await loadCheckpoint(checkpoint);
      const reached = 15 * position.epoch + position.step;
      assert(reached >= steps, `life ${kill} ended at step ${reached}, before ${steps}`);
      steps = reached;
      if (await exists(previousPath(checkpoint))) await loadCheckpoint(previousPath(checkpoint));
      JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    }
    lastLine(await task("train", "--run", file, "--out", out, "--resume"));
    const [expected, actual] = await Promise.all(
      [whole.record, `${out}/record.json`].map(async (path) => JSON.parse(await Deno.readTextFile(path))),
    );
    assertEquals(actual.networks.cnn.weightsSha256, expected.networks.cnn.weightsSha256);
    assertEquals(actual.networks.cnn.predictionsSha256, expected.networks.cnn.predictionsSha256);
    assertEquals(actual.status, "finished");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("on a full disk the checkpoint that was there stays, and the error says so", async () => {
  await initializeDevice();
  const folder = await Deno.makeTempDir();
  const architecture = { ...architectureFor("cnn", "tiny", 7), width: 4, size: 32 } as const;
  const network = createNetwork(architecture, 1);
  const recipe = recipeFor("cnn", "tiny");
  const optimizer = new Sgd(network.parameters, recipe);
  try {
    const path = `${folder}/cnn.safetensors`;
    const header = (step: number) => ({
      architecture,
      labelSet: "expression" as const,
      recipe,
      convention: EXPR_CONVENTION,
      seed: 1,
      position: { epoch: 0, step, lossSum: 0 },
      history: [],
    });
    for (const step of [1, 2]) await saveCheckpoint(path, header(step), network, optimizer);
    const save = () => saveCheckpoint(path, header(3), network, optimizer);
    await onFullDisk(() => assertRejects(save, UserError, "No space left on device (os error 28); the one"));
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".tmp")), []);
    assertEquals((await loadCheckpoint(path)).position.step, 2);
    const first = () => saveCheckpoint(`${folder}/none/cnn.safetensors`, header(3), network, optimizer);
    await assertRejects(first, UserError, "there is none before it");
    await saveCheckpoint(path, header(4), network, optimizer); // the disk has space again
    assertEquals((await loadCheckpoint(path)).position.step, 4);
    assertEquals((await loadCheckpoint(previousPath(path))).position.step, 2);
  } finally {
    network.dispose();
    optimizer.dispose();
    await Deno.remove(folder, { recursive: true });
  }
});
