/**
 * Flags that `train` and `weights` share.
 *
 * @module
 */
import { CONVENTIONS } from "../../data/input_convention.ts";

/** Flags that say of a file of weights what it may leave open itself. */
export const HINT_FLAGS = {
  graph: {
    type: "string",
    choices: ["caffe", "torchvision"],
    description: "which ResNet50 the weights are of, where their file does not say",
  },
  convention: {
    type: "string",
    choices: Object.keys(CONVENTIONS),
    description: "which input the weights want, where their file does not say",
  },
} as const;
