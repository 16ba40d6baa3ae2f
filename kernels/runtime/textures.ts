/**
 * Operands that a shader reads from a texture on a software adapter: it marks them by `//#texture` (wgsl.ts), and `run`
 * copies the tensor there before the dispatch.
 *
 * llvmpipe loads from a storage buffer lane by lane, and puts each float into its vector by way of the stack, which a
 * CPU without AVX-512 waits for. Measured on Mesa 22.3, a vec4 for eight lanes, ns of such a core: storage buffer 231,
 * sampled texture 48, uniform buffer 24, storage texture 9. To copy 1 MB takes 41 us, as long as to another buffer.
 *
 * @module
 */
import type { BoundResource } from "./bind_groups.ts";
import type { BackendInternals } from "./program.ts";
import type { BufferPart } from "./views.ts";

/** Texels of a row, as texel.wgsl has it. */
const ROW = 1024;
const TEXEL_BYTES = 16;
const LEAST_ROWS = 16;

interface Texture {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
}

/** By binding: a dispatch reads its operands, then those of the next one are copied over them. */
const textures = new WeakMap<GPUDevice, Map<number, Texture>>();

/** The bindings of a shader that are textures. */
export function textureBindings(code: string): ReadonlySet<number> {
  const declared = code.matchAll(/@binding\((\d+)\) var \w+: texture_storage_2d<rgba32float, read>/g);
  return new Set([...declared].map(([, binding]) => Number(binding)));
}

/** @throws {RangeError} for an operand that is too large, naming the shader */
export function requireTexture(
  file: string,
  shape: readonly number[],
  bytes: number,
  limits: GPUSupportedLimits,
): void {
  const most = ROW * TEXEL_BYTES * limits.maxTextureDimension2D;
  if (bytes <= most) return;
  throw new RangeError(
    `Cannot run ${file}: a tensor of shape [${shape}] takes ${bytes} bytes; expected at most the ${most} of a texture`,
  );
}

/**
 * Records the copies of a dispatch's operands to textures.
 *
 * @param bindings of those that are read from textures
 * @param poisoned the rest of a texture is NaN
 * @returns what the shader binds
 */
export function toTextures(
  internals: BackendInternals,
  operands: readonly BufferPart[],
  bindings: ReadonlySet<number>,
  poisoned: boolean,
): BoundResource[] {
  const copied = new Map<number, GPUTextureView>();
  return operands.map((operand, i) => {
    if (!bindings.has(i)) return operand;
    // An input that there is not is often another one: that is copied already.
    const same = operands.findIndex(({ buffer, offset, size }, j) =>
      copied.has(j) && buffer === operand.buffer && offset === operand.offset && size === operand.size
    );
    const view = copied.get(same) ?? copyToTexture(internals, i, operand, poisoned);
    copied.set(i, view);
    return view;
  });
}

/** Records a copy to the texture of a binding. */
function copyToTexture(
  internals: BackendInternals,
  binding: number,
  { buffer, offset, size }: BufferPart,
  poisoned: boolean,
): GPUTextureView {
  const { device } = internals;
  const texels = Math.floor(size / TEXEL_BYTES);
  const rows = Math.floor(texels / ROW);
  const rest = texels % ROW;
  let known = textures.get(device);
  if (known === undefined) textures.set(device, known = new Map());
  let target = known.get(binding);
  if (target === undefined || target.texture.height < rows + 1 || poisoned) {
    const least = Math.max(LEAST_ROWS, 2 ** Math.ceil(Math.log2(rows + 1)));
    target = create(device, Math.min(least, device.limits.maxTextureDimension2D), poisoned);
    if (!poisoned) known.set(binding, target);
  }
  internals.ensureCommandEncoderReady();
  internals.endComputePassEncoder();
  const encoder = internals.commandEncoder!;
  const bytesPerRow = ROW * TEXEL_BYTES;
  const { texture, view } = target;
  if (rows > 0) encoder.copyBufferToTexture({ buffer, offset, bytesPerRow }, { texture }, [ROW, rows]);
  if (rest > 0) {
    const after = { buffer, offset: offset + rows * bytesPerRow, bytesPerRow };
    encoder.copyBufferToTexture(after, { texture, origin: [0, rows] }, [rest, 1]);
  }
  return view;
}

/** What it replaces is not destroyed: captured commands may use it. */
function create(device: GPUDevice, height: number, poisoned: boolean): Texture {
  const texture = device.createTexture({
    size: [ROW, height],
    format: "rgba32float",
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
  });
  if (poisoned) {
    const nan = new Float32Array(4 * ROW * height).fill(NaN);
    device.queue.writeTexture({ texture }, nan, { bytesPerRow: ROW * TEXEL_BYTES }, [ROW, height]);
  }
  return { texture, view: texture.createView() };
}
