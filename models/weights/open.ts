/**
 * Opens a file of weights in any of the formats, told apart by their first bytes, never by the name.
 *
 * @module
 */
import { requirePlausible, type WeightsContent, type WeightsFile, type WeightsFormat } from "./file.ts";
import { openHdf5 } from "./hdf5.ts";
import { readNpz, readNumpyPickle } from "./numpy.ts";
import { openSafetensors } from "./safetensors.ts";
import { type ByteSource, FileSource, readBytes, refuse } from "./source.ts";
import { isShape, tensorBytes } from "./tensor.ts";
import { readTorchStream, readTorchZip } from "./torch.ts";
import { ZipArchive } from "./zip.ts";

const HDF5_SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
/** LONG1 of the old stream's magic number, behind the protocol. */
const STREAM_SIGNATURE = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** Tells the format. */
function formatOf(source: ByteSource): WeightsFormat {
  const head = readBytes(source, 0, Math.min(32, source.size));
  const has = (bytes: readonly number[], at = 0) => bytes.every((byte, i) => head[at + i] === byte);
  if (has([0x50, 0x4b, 3, 4]) || has([0x50, 0x4b, 5, 6])) {
    return [...new ZipArchive(source).entries.keys()].some((name) => name.endsWith("data.pkl"))
      ? "PyTorch zip"
      : "numpy npz";
  }
  if (has(HDF5_SIGNATURE)) return "Keras HDF5";
  // Behind PROTO 2, or PROTO 4 and a frame.
  if (has([0x80]) && (has(STREAM_SIGNATURE, 2) || has(STREAM_SIGNATURE, 11))) {
    return "PyTorch old pickle stream";
  }
  // A JSON object behind a length of at most 2^56.
  if (head.length >= 9 && head[7] === 0 && head[8] === 0x7b) return "safetensors";
  // PROTO 2 to 5; protocols 0 and 1 begin with a dict, `(d` or `}`, or with a global, `c`.
  const isPickle = (has([0x80]) && head[1] >= 2 && head[1] <= 5) || has([0x28, 0x64]) || has([0x7d]) ||
    has([0x63]);
  if (isPickle) return "numpy pickle";
  const shown = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return refuse(
    source,
    `it begins with ${
      shown || "nothing"
    }, which is none of .safetensors, .pth (zip or old), .pkl, .npz, .h5; ` +
      "expected a file of weights",
  );
}

async function readContent(
  source: ByteSource,
  format: WeightsFormat,
): Promise<WeightsContent & { close?: () => void }> {
  switch (format) {
    case "safetensors":
      return openSafetensors(source);
    case "PyTorch zip":
      return readTorchZip(source);
    case "PyTorch old pickle stream":
      return readTorchStream(source);
    case "numpy pickle":
      return readNumpyPickle(source);
    case "numpy npz":
      return readNpz(source);
    case "Keras HDF5":
      return await openHdf5(source);
  }
}

/**
 * Opens a file of weights and reads its names, shapes and dtypes; values are read when they are asked for.
 *
 * @param input a path, or bytes from elsewhere
 * @throws {Error} if there is no such file, it is none of the formats, or anything in it does not hold
 */
export async function openWeights(input: string | ByteSource): Promise<WeightsFile> {
  const source = typeof input === "string" ? new FileSource(input) : input;
  let content: (WeightsContent & { close?: () => void }) | undefined;
  const close = () => {
    content?.close?.();
    source.close();
  };
  try {
    const format = formatOf(source);
    content = await readContent(source, format);
    const { tensors, groups = [], metadata = {} } = content;
    if (tensors.size === 0) refuse(source, `it is a ${format} file without tensors`);
    for (const [name, { shape }] of tensors) {
      if (!isShape(shape)) refuse(source, `tensor ${name} claims the shape [${shape}]`);
    }
    requirePlausible(source, "tensors", [...tensors.values()].reduce((sum, t) => sum + tensorBytes(t), 0));
    return {
      path: source.path,
      size: source.size,
      format,
      tensors,
      groups,
      metadata,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
