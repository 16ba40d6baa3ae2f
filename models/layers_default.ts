/**
 * The layers that networks use unless told otherwise.
 *
 * @module
 */
import type { Layers } from "./layers.ts";
import { kernelLayers } from "./layers_kernels.ts";

/** The WGSL kernels. */
export const defaultLayers: Layers = kernelLayers;
