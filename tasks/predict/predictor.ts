/**
 * The networks' probabilities of every face of every track, while frames still come in: a temporal network's are those
 * of the middle of a window of the track's frames, edges repeated (paper, Section 3.2), as in training's evaluation.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { splitJointProbabilities } from "../../data/aff_wild2/mod.ts";
import { ACTION_UNITS, EXPRESSIONS, type Target } from "../../data/aff_wild2/types.ts";
import { resizeImage } from "../../data/images.ts";
import { type InputConvention, normalize } from "../../data/input_convention.ts";
import { isBackboneParameter, type Network, TemporalNetwork } from "../../models/networks.ts";
import { type Checkpoint, restoreNetwork } from "../run/checkpoint.ts";
import { UserError } from "../run/cli.ts";
import { hashTensors } from "../run/fingerprint.ts";
import { probabilitiesOf } from "../run/inference.ts";
import { INFERENCE_BATCH } from "../run/session.ts";
import type { Face, FacePlace, FacesFrame } from "./frames.ts";
import { TrackFeatures } from "./track_features.ts";

/** Windows in one forward pass. */
const WINDOWS_PER_BATCH = 256;

/** A network that is asked. */
export interface Voter {
  readonly checkpoint: Checkpoint;
  /** of its expressions' probabilities in the sum; 0 for a network of action units */
  readonly weight: number;
}

/** The probabilities of a face. */
export interface Prediction extends FacePlace {
  readonly track: string;
  readonly frame: number;
  /** [7] of the expressions, then [12] of the action units, as far as there are networks for them */
  readonly values: Float32Array;
}

/** Networks that see a frame through the same backbone: a frame's features serve all of them. */
interface Backbone {
  readonly network: Network;
  readonly size: number;
  readonly convention: InputConvention;
}

interface Member {
  readonly network: Network;
  readonly target: Target;
  readonly weight: number;
  /** frames of a window */
  readonly window: number;
  /** its backbone's number */
  readonly backbone: number;
}

function hasExpressions(target: Target): boolean {
  return target === "expression" || target === "joint";
}

function hasUnits(target: Target): boolean {
  return target === "action_units" || target === "joint";
}

/** [N, size, size, 3] -> [N, D]: what a network's windows are made of. */
function featuresOf(network: Network, images: tf.Tensor4D): tf.Tensor2D {
  return "backbone" in network
    ? network.backbone.features(images, { training: false })
    : network.logits(images, { training: false });
}

/** Features [B, T, D] -> logits of each window's middle frame [B, classes]. */
function middleLogits(network: Network, features: tf.Tensor3D): tf.Tensor2D {
  const [count, window, width] = features.shape;
  if (!(network instanceof TemporalNetwork)) {
    const single = features.reshape<tf.Tensor2D>([count, width]);
    return "backbone" in network ? network.classify(single) : single;
  }
  const logits = network.logits(features); // [B, T, classes]
  const { classes } = network.architecture;
  return logits.slice([0, (window - 1) / 2, 0], [count, 1, classes]).reshape([count, classes]);
}

/** All networks with their weights on the device, and the tracks that are under way. */
export class Predictor {
  /** whether `values` begin with expressions, and whether they end with action units */
  readonly expressions: boolean;
  readonly units: boolean;
  readonly #held = new DisposableStack();
  readonly #backbones: Backbone[] = [];
  readonly #members: Member[] = [];
  readonly #tracks = new Map<string, TrackFeatures>();
  readonly #reach: number;

  /**
   * @param voters whose weights of networks with expressions sum to 1
   * @throws {UserError} for a network that was trained to tell people apart
   */
  constructor(voters: readonly Voter[]) {
    const keys: string[] = [];
    for (const { checkpoint, weight } of voters) {
      const { path, architecture, convention, labelSet: target, weights, recipe } = checkpoint;
      if (target === "identity") {
        throw new UserError(
          `Cannot predict with ${path}: it tells people apart; expected a network of expressions or action units`,
        );
      }
      const network = restoreNetwork(checkpoint);
      const isBackbone = (name: string) => architecture.network === "vgg" || isBackboneParameter(name);
      const shared = new Map([...weights].filter(([name]) => isBackbone(name)));
      const { size, width, graph } = architecture;
      const key = JSON.stringify([hashTensors(shared), size, width, graph ?? null, convention]);
      if (!keys.includes(key)) {
        keys.push(key);
        this.#held.use(network.holdWeights());
        this.#backbones.push({ network, size, convention });
      }
      const window = network instanceof TemporalNetwork ? recipe.window : 1;
      this.#members.push({ network, target, weight, window, backbone: keys.indexOf(key) });
    }
    this.expressions = this.#members.some(({ target }) => hasExpressions(target));
    this.units = this.#members.some(({ target }) => hasUnits(target));
    this.#reach = (Math.max(...this.#members.map(({ window }) => window)) - 1) / 2;
  }

  /** Backbones that run: networks of one share the work. */
  get backbones(): number {
    return this.#backbones.length;
  }

  /**
   * Takes frames in; what can be predicted of the tracks by now comes back, each track in the order of its frames.
   *
   * @param finish all tracks end with these frames
   */
  async push(frames: readonly FacesFrame[], finish: boolean): Promise<Prediction[]> {
    const faces = frames.flatMap((frame) => frame.faces);
    const features = await Promise.all(this.#backbones.map((backbone) => this.#features(backbone, faces)));
    let next = 0;
    const ended = new Set<string>();
    for (const frame of frames) {
      for (const track of frame.ended) {
        this.#tracks.get(track)?.end();
        ended.add(track);
      }
      for (const { track, box, score } of frame.faces) {
        if (!this.#tracks.has(track)) this.#tracks.set(track, new TrackFeatures(track, this.#reach));
        const rows = features.map((rows) => rows[next]);
        this.#tracks.get(track)!.add({ frame: frame.number, box, score, rows });
        next++;
      }
    }
    if (finish) this.#tracks.forEach((track) => track.end());
    const predictions = await this.#predictReady();
    ended.forEach((track) => this.#tracks.delete(track));
    return predictions;
  }

  /** Forgets all tracks: another clip follows. */
  reset(): void {
    this.#tracks.clear();
  }

  /** The features of each face: D numbers a face. */
  async #features(
    { network, size, convention }: Backbone,
    faces: readonly Face[],
  ): Promise<Float32Array[]> {
    const rows: Float32Array[] = [];
    const length = size * size * 3;
    for (let start = 0; start < faces.length; start += INFERENCE_BATCH) {
      const batch = faces.slice(start, start + INFERENCE_BATCH);
      const images = new Float32Array(batch.length * length);
      await Promise.all(batch.map(async ({ crop }, n) => {
        normalize(await resizeImage(crop, size), convention, images, n * length);
      }));
      const output = tf.tidy(() => featuresOf(network, tf.tensor4d(images, [batch.length, size, size, 3])));
      const values = await output.data<"float32">();
      output.dispose();
      const width = values.length / batch.length;
      batch.forEach((_, n) => rows.push(values.slice(n * width, (n + 1) * width)));
    }
    return rows;
  }

  async #predictReady(): Promise<Prediction[]> {
    const predictions: Prediction[] = [];
    for (const track of this.#tracks.values()) {
      const first = track.next;
      const count = track.ready() - first;
      for (let start = 0; start < count; start += WINDOWS_PER_BATCH) {
        const entries = Array.from(
          { length: Math.min(WINDOWS_PER_BATCH, count - start) },
          (_, i) => first + start + i,
        );
        const values = await this.#predictWindows(track, entries);
        entries.forEach((entry, i) => {
          const { frame, box, score } = track.place(entry);
          predictions.push({ track: track.name, frame, box, score, values: values[i] });
        });
      }
      track.advance(count);
    }
    return predictions;
  }

  /** The probabilities in the middle of the windows around a track's entries. */
  async #predictWindows(track: TrackFeatures, entries: readonly number[]): Promise<Float32Array[]> {
    const outputs = this.#members.map(({ network, target, window, backbone }) => {
      const values = track.windows(entries, window, backbone);
      const width = values.length / entries.length / window;
      return tf.tidy(() =>
        probabilitiesOf(middleLogits(network, tf.tensor3d(values, [entries.length, window, width])), target)
      );
    });
    const results = await Promise.all(outputs.map((tensor) => tensor.data<"float32">()));
    outputs.forEach((tensor) => tensor.dispose());
    return entries.map((_, i) => this.#join(results, i));
  }

  /** Row i of each network's probabilities, summed by weight; action units: the mean over their networks. */
  #join(results: readonly Float32Array[], i: number): Float32Array {
    const expressions = new Float32Array(this.expressions ? EXPRESSIONS.length : 0);
    const units = new Float32Array(this.units ? ACTION_UNITS.length : 0);
    const unitVoters = this.#members.filter(({ target }) => hasUnits(target)).length;
    this.#members.forEach(({ network, target, weight }, m) => {
      const { classes } = network.architecture;
      const row = results[m].subarray(i * classes, (i + 1) * classes);
      const parts = target === "joint" ? splitJointProbabilities(row) : { expressions: row, units: row };
      if (hasExpressions(target)) parts.expressions.forEach((p, c) => expressions[c] += weight * p);
      if (hasUnits(target)) parts.units.forEach((p, c) => units[c] += p / unitVoters);
    });
    return Float32Array.of(...expressions, ...units);
  }

  /** Frees the weights. */
  dispose(): void {
    this.#held.dispose();
    this.#members.forEach(({ network }) => network.dispose());
  }
}
