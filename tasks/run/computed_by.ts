/**
 * What computes, in one text: values that one kernel, adapter or version made are not another's.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fervid from "../../deno.json" with { type: "json" };
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { defaultLayers } from "../../models/layers_default.ts";

/** Folders and files of Fervid that images and features are made by; the lock file has the versions of the rest. */
const SOURCES = ["kernels", "models", "data", "deno.lock"];

let variants = "shipped";
let sources: string | undefined;

/** Takes note of the kernel variants that run from now on. */
export function noteVariants(used: string): void {
  variants = used;
}

/** The adapter, the kernel variants, and the state of the sources, committed or not. */
export async function computedBy(): Promise<string> {
  const { description, vendor, architecture } = await initializeDevice();
  sources ??= hashSources(new URL("../../", import.meta.url));
  const adapter = [description, vendor, architecture];
  return JSON.stringify([adapter, variants, defaultLayers.name, fervid.version, Deno.version.deno, sources]);
}

/** SHA-256 over the sources; empty where they are no files, and the version has to do. */
export function hashSources(root: URL): string {
  if (root.protocol !== "file:") return "";
  const hash = createHash("sha256");
  const add = (path: string, name: string) => {
    const { isDirectory } = Deno.statSync(path);
    if (!isDirectory) {
      const bytes = Deno.readFileSync(path);
      hash.update(`${name} ${bytes.length}:`).update(bytes);
      return;
    }
    const entries = [...Deno.readDirSync(path)].filter((entry) =>
      entry.isDirectory || /\.(ts|wgsl)$/.test(entry.name)
    );
    for (const entry of entries.map((entry) => entry.name).sort()) {
      add(`${path}/${entry}`, `${name}/${entry}`);
    }
  };
  for (const name of SOURCES) {
    try {
      add(join(fileURLToPath(root), name), name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return hash.digest("hex");
}
