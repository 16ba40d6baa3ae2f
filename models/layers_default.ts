/**
 * The layers that networks use unless told otherwise.
 *
 * @module
 */
import type { Layers } from "./layers.ts";
import { stockLayers } from "./layers_stock.ts";

/** Plain TensorFlow.js. */
export const defaultLayers: Layers = stockLayers;
