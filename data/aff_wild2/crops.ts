/**
 * The names in a track's folder of crops: which frames have one.
 *
 * @module
 */
import { imageName } from "./types.ts";

/** The crops in a folder. */
export interface CropList {
  /** frame numbers, 1-based, ascending */
  readonly numbers: Int32Array;
  /** files that are no crops */
  readonly others: number;
}

/** Which frames have a crop. */
export interface Crops {
  /** [count + 1] 1 where frame k has one */
  readonly present: Uint8Array;
  /** crops of frames 1..count */
  readonly within: number;
  /** crops of later frames */
  readonly beyond: number;
  /** files that are no crops */
  readonly others: number;
}

/** Frames are numbered in 32 bits. */
const MAX_FRAME = 2 ** 31 - 1;

/** The number of a crop's file name, or 0 if it is no name of a crop. */
function cropNumber(name: string): number {
  const digits = name.length - 4;
  if (digits < 5 || !name.endsWith(".jpg")) return 0;
  let number = 0;
  for (let i = 0; i < digits; i++) {
    const digit = name.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return 0;
    number = number * 10 + digit;
  }
  if (number > MAX_FRAME) return 0;
  // `%05d` pads to five digits and no further: 000001.jpg is no crop's name.
  return digits > 5 && number < 10 ** (digits - 1) ? 0 : number;
}

/**
 * Sorts a crop folder's names.
 *
 * @throws {Error} if crops are numbered from 0
 */
export function listCrops(names: readonly string[], folder: string): CropList {
  const numbers = new Int32Array(names.length);
  let count = 0;
  for (const name of names) {
    const frame = cropNumber(name);
    if (frame > 0) {
      numbers[count++] = frame;
    } else if (name === imageName(0)) {
      throw new Error(
        `Cannot read the crops in ${folder}: expected them to be numbered from 00001.jpg but found ` +
          `${name}; every label would belong to the wrong image`,
      );
    }
  }
  return { numbers: numbers.slice(0, count).sort(), others: names.length - count };
}

/** Holds crops against the frames 1..count. */
export function markCrops({ numbers, others }: CropList, count: number): Crops {
  const present = new Uint8Array(count + 1);
  let within = 0;
  for (; within < numbers.length && numbers[within] <= count; within++) present[numbers[within]] = 1;
  return { present, within, beyond: numbers.length - within, others };
}
