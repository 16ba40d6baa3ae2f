/** What tests/golden/make_weights.py put into its files: the same values, computed again. */
import type { ParameterNames } from "../../models/weights/resnet50_names.ts";
import { elementCount } from "../../models/weights/tensor.ts";

const FOLDER = new URL("./weights/", import.meta.url);

/** The path of a golden file. */
export function goldenPath(name: string): string {
  return new URL(name, FOLDER).pathname;
}

/** A golden file's bytes. */
export function goldenBytes(name: string): Uint8Array {
  return Deno.readFileSync(goldenPath(name));
}

/** A tensor of expected.json; 64-bit integers are texts. */
export interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: (number | string | boolean)[];
}

/** expected.json. */
export const EXPECTED: {
  readonly features: Readonly<Record<"dag" | "torchvision" | "pickle" | "keras", number[][]>>;
  readonly odd: Readonly<Record<string, ExpectedTensor>>;
  readonly arrays: Readonly<Record<string, ExpectedTensor>>;
} = JSON.parse(Deno.readTextFileSync(goldenPath("expected.json")));

function crc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** `units`: numbers in [-.5, .5), by hashing the name and the index. */
export function units(name: string, count: number): Float64Array {
  const seed = crc32(name);
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (seed + Math.imul(i, 2654435761)) >>> 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x45d9f3b);
    x ^= x >>> 16;
    return (x >>> 0) / 2 ** 32 - 0.5;
  });
}

/** `values`: a parameter of ResNet50; the golden classifier has the shape [K, D, 1, 1], which hashes alike. */
export function goldenValues(
  { dag, shape }: Pick<ParameterNames, "dag" | "shape">,
): Float32Array<ArrayBuffer> {
  const u = units(dag, elementCount(shape));
  if (dag.endsWith("running_var")) {
    return Float32Array.from(u, (x) => (1 + x) * (dag.startsWith("conv1_") ? 5000 : 1));
  }
  if (dag.endsWith("_bn.weight")) return Float32Array.from(u, (x) => 1 + x);
  if (shape.length === 1) return Float32Array.from(u);
  const scale = Math.sqrt(24 / elementCount(shape.slice(1)));
  return Float32Array.from(u, (x) => x * scale);
}

/** `images`: RGB bytes [N, S, S, 3]. */
export function goldenImages(count: number, size: number): Uint8Array {
  return Uint8Array.from(units("images", count * size * size * 3), (x) => Math.floor((x + 0.5) * 256));
}
