/**
 * The training settings: the paper's (Section 3.2, and its authors' values where the paper is silent), and a
 * small variant that a software adapter trains in minutes.
 *
 * @module
 */
import type { Target } from "../../data/aff_wild2/types.ts";
import { isTemporal, type NetworkName } from "../../models/networks.ts";

/** The scale of a run: `paper` is width 64 at 224 pixels, `tiny` the same topology at width 16 and 48 pixels. */
export type Preset = "paper" | "tiny";

/** Random resized crop and horizontal flip, drawn once per window. */
export interface Augmentation {
  /** range of the crop's share of the image's area */
  readonly scale: readonly [number, number];
  /** range of the crop's aspect ratio before it is resized to a square */
  readonly ratio: readonly [number, number];
  /** probability of a horizontal flip */
  readonly flip: number;
}

/** Variants of cross-entropy; for action units only the weights count. */
export interface LossSettings {
  /** `inverse`: a class of n of N frames weighs N / (classes n); an action unit's positives, negatives / positives */
  readonly classWeights: "none" | "inverse";
  /** share of the target that is spread over all classes */
  readonly labelSmoothing: number;
  /** exponent of the focal loss (Lin et al. 2017); 0 = plain cross-entropy */
  readonly focal: number;
}

/** How a network is trained: SGD with momentum, weight decay and a multi-step learning rate. */
export interface Recipe {
  readonly epochs: number;
  /** images (CNN) or windows (temporal networks) per step */
  readonly batchSize: number;
  /** an epoch takes at most this many, drawn anew each epoch: neighbouring frames are near copies; null = all */
  readonly samplesPerEpoch: number | null;
  readonly lr: number;
  /** steps over which the rate rises from 0 at the beginning; 0 = none */
  readonly warmupSteps: number;
  /** epochs after which the rate is multiplied by `gamma` */
  readonly milestones: readonly number[];
  readonly gamma: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** null: frames are used as they are, so that a frozen backbone's features are computed once */
  readonly augmentation: Augmentation | null;
  readonly loss: LossSettings;
  /** `balanced`: every class equally often, frames of rare ones repeated; `shuffled`: every frame once an epoch */
  readonly sampling: "shuffled" | "balanced";
  /** a temporal network's backbone is trained too; its frames then go through it at every step */
  readonly finetune: boolean;
  /** frames per window of a temporal network; 1 for the CNN */
  readonly window: number;
  /** frames between the starts of two training windows */
  readonly stride: number;
}

const PAPER: Recipe = {
  epochs: 10,
  batchSize: 96,
  samplesPerEpoch: null,
  lr: 5e-4,
  warmupSteps: 0,
  milestones: [2, 4, 8],
  gamma: 0.1,
  momentum: 0.9,
  weightDecay: 5e-4,
  augmentation: { scale: [0.2, 1], ratio: [3 / 4, 4 / 3], flip: 0.5 },
  loss: { classWeights: "none", labelSmoothing: 0, focal: 0 },
  sampling: "shuffled",
  finetune: false,
  window: 1,
  stride: 1,
};

/** Training from scratch on a few thousand small frames wants a larger rate and milder crops than the paper's. */
const TINY: Recipe = {
  ...PAPER,
  batchSize: 16,
  samplesPerEpoch: 1152,
  lr: 0.03,
  warmupSteps: 20,
  milestones: [7, 9],
  augmentation: { scale: [0.8, 1], ratio: [0.9, 1.1], flip: 0.5 },
};

/**
 * The settings of a network at a scale; a temporal network's frozen backbone sees frames without augmentation.
 * Action units take the authors' rate and batch size.
 */
export function recipeFor(network: NetworkName, preset: Preset, labelSet: Target = "expression"): Recipe {
  const paper = preset === "paper";
  const units = paper && labelSet === "action_units" ? { lr: 1e-4, batchSize: 48 } : {};
  // Without batch norm a larger rate keeps VGG16 at chance for epochs.
  const gentle = !paper && network === "vgg" ? { lr: 0.01 } : {};
  const base = { ...(paper ? PAPER : TINY), ...units, ...gentle };
  if (!isTemporal(network)) return base;
  const temporal = { ...base, augmentation: null, window: 9, stride: 4 };
  if (!paper) return { ...temporal, batchSize: 32, samplesPerEpoch: 640, lr: 0.03 };
  return labelSet === "expression" ? { ...temporal, lr: 1e-3 } : temporal;
}
