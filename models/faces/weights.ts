/**
 * The face finder's weights, as the npm package @vladmandic/face-api ships them (MIT licence, Vladimir Mandic; the
 * networks are Vincent Mühler's face-api.js). Read from the package's files; nothing of its code is run.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import faceApi from "@vladmandic/face-api/package.json" with { type: "json" };

/** What is shipped under which name, and on whose terms. */
export const FACE_WEIGHTS: { readonly source: string; readonly licence: string } = {
  source: `${faceApi.name} ${faceApi.version}`,
  licence: faceApi.license,
};

/** A group of a TensorFlow.js weights manifest. */
interface ManifestGroup {
  readonly weights: tf.io.WeightsManifestEntry[];
  readonly paths: readonly string[];
}

/**
 * Reads a network's weights: bytes with a scale and an offset per tensor, turned to float32 on the device.
 *
 * @param name of the files, e.g. `tiny_face_detector_model`
 * @throws {Error} if the package's files are not there or are not those that are expected
 */
export async function readFaceWeights(name: string): Promise<Map<string, tf.Tensor>> {
  const root = import.meta.resolve("@vladmandic/face-api/package.json");
  const folder = new URL("model/", root);
  try {
    const manifest: ManifestGroup[] = JSON.parse(
      await Deno.readTextFile(new URL(`${name}-weights_manifest.json`, folder)),
    );
    const tensors = new Map<string, tf.Tensor>();
    for (const { weights, paths } of manifest) {
      const parts = await Promise.all(paths.map((path) => Deno.readFile(new URL(path, folder))));
      const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      for (const [key, tensor] of Object.entries(tf.io.decodeWeights(bytes.buffer, weights))) {
        tensors.set(key, tensor);
      }
    }
    return tensors;
  } catch (error) {
    throw new Error(
      `Cannot read the face finder's weights ${name} from ${folder.pathname}: ${(error as Error).message}; ` +
        `expected the files of npm's ${FACE_WEIGHTS.source}`,
      { cause: error },
    );
  }
}

/** A network's tensors by name. */
export class FaceTensors {
  readonly #name: string;
  readonly #tensors: ReadonlyMap<string, tf.Tensor>;

  private constructor(name: string, tensors: ReadonlyMap<string, tf.Tensor>) {
    this.#name = name;
    this.#tensors = tensors;
  }

  /** Reads the weights; see {@linkcode readFaceWeights}. */
  static async read(name: string): Promise<FaceTensors> {
    return new FaceTensors(name, await readFaceWeights(name));
  }

  /**
   * A tensor.
   *
   * @throws {Error} if there is none of that name and rank
   */
  get<T extends tf.Tensor>(key: string, rank: number): T {
    const tensor = this.#tensors.get(key);
    if (tensor?.rank !== rank) {
      const found = tensor === undefined ? "is missing" : `has shape [${tensor.shape}]`;
      throw new Error(`Cannot use ${this.#name}: ${key} ${found}; expected a tensor of rank ${rank}`);
    }
    return tensor as T;
  }

  /** Frees all of them. */
  dispose(): void {
    this.#tensors.forEach((tensor) => tensor.dispose());
  }
}
