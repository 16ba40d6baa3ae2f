/**
 * Operands that a shader reads from a texture on a software adapter: it marks them by `//#texture` (wgsl.ts), and `run`
 * copies the tensor there before the dispatch; so too what a dispatch updates in place.
 *
 * llvmpipe loads from a storage buffer lane by lane, and puts each float into its vector by way of the stack, which a
 * CPU without AVX-512 waits for. Measured on Mesa 22.3, a vec4 for eight lanes, ns of such a core: storage buffer 231,
 * sampled texture 48, uniform buffer 24, storage texture 9. To copy 1 MB takes 41 us, as long as to another buffer.
 * A training step of the small ResNet50 makes 547 copies of 102 MB, some 27 of its 145 ms by the clock: it is the bytes that
 * take them, copies of a texel each take none. Half of the bytes are of operands that an earlier dispatch has read too.
 *
 * @module
 */
import { adapterTraits } from "./device.ts";
import { type Bound, boundBytes } from "./dispatch.ts";
import type { BackendInternals } from "./program.ts";
import { type BufferPart, encoderForCopies } from "./views.ts";
import { BEFORE } from "./wgsl.ts";

/** Bytes of a row, as texel.wgsl has it. */
const ROW = 16384;
const LEAST_ROWS = 16;
/** Bytes of a texel by format: vec4s and floats. */
const TEXELS = { rgba32float: 16, r32float: 4 } as const;

/** How a texture keeps values. */
export type TextureFormat = keyof typeof TEXELS;

interface Texture {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
}

/** By binding and format: a dispatch reads its operands, then those of the next one are copied over them. */
const textures = new WeakMap<GPUDevice, Map<string, Texture>>();

/** True where marked bindings are textures. */
export function readsTextures(device: GPUDevice): boolean {
  return adapterTraits(device).software;
}

/** What a shader reads from a texture. */
export interface TextureBinding {
  /** of the texture */
  readonly binding: number;
  /** of the buffer whose values it has: another one where the shader writes that */
  readonly operand: number;
  readonly format: TextureFormat;
}

/** The bindings of an expanded shader that are textures, in order. */
export function textureBindings(code: string): readonly TextureBinding[] {
  const declared = code.matchAll(
    /@binding\((\d+)\) var(?:<[\w, ]+>)? (\w+): (?:texture_storage_2d<(\w+), read>)?/g,
  );
  const all = [...declared].map(([, binding, name, format]) => ({ binding: Number(binding), name, format }));
  return all.filter(({ format }) => format !== undefined)
    .sort((a, b) => a.binding - b.binding)
    .map(({ binding, name, format }) => {
      const buffer = all.find((other) => name === other.name + BEFORE);
      return { binding, operand: buffer?.binding ?? binding, format: format as TextureFormat };
    });
}

/** Bytes that a texture holds. */
function textureBytes({ maxTextureDimension2D }: GPUSupportedLimits): number {
  return ROW * maxTextureDimension2D;
}

/**
 * Bytes of the largest operand that every shader takes.
 *
 * @param textures marked bindings are textures
 */
export function operandBytes(limits: GPUSupportedLimits, textures: boolean): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = limits;
  return Math.min(maxStorageBufferBindingSize, maxBufferSize, textures ? textureBytes(limits) : Infinity);
}

/** The same of this device. */
export function mostOperandBytes(device: GPUDevice): number {
  return operandBytes(device.limits, readsTextures(device));
}

/** @throws {RangeError} for an operand that is too large, naming the shader */
export function requireTexture(file: string, operand: Bound, limits: GPUSupportedLimits): void {
  const bytes = boundBytes(operand);
  const most = textureBytes(limits);
  if (bytes <= most) return;
  throw new RangeError(
    `Cannot run ${file}: a tensor of shape [${operand.tensor.shape}] takes ${bytes} bytes; expected at most the ${most} of ` +
      "a texture",
  );
}

/**
 * Records the copies of a dispatch's operands to textures.
 *
 * @param operands inputs and outputs, by binding
 * @param poisoned the rest of a texture is NaN
 * @returns the textures, in the order of `bindings`
 */
export function toTextures(
  internals: BackendInternals,
  operands: readonly BufferPart[],
  bindings: readonly TextureBinding[],
  poisoned: boolean,
): GPUTextureView[] {
  const views: GPUTextureView[] = [];
  for (const { operand: i, format } of bindings) {
    const operand = operands[i];
    // An input that there is not is often another one: that is copied already.
    const same = views.findIndex((_, j) => {
      const { buffer, offset, size } = operands[bindings[j].operand];
      return bindings[j].format === format && buffer === operand.buffer && offset === operand.offset &&
        size === operand.size;
    });
    views.push(views[same] ?? copyToTexture(internals, `${i} ${format}`, format, operand, poisoned));
  }
  return views;
}

/** Records a copy to the texture of this name. */
function copyToTexture(
  internals: BackendInternals,
  name: string,
  format: TextureFormat,
  { buffer, offset, size }: BufferPart,
  poisoned: boolean,
): GPUTextureView {
  const { device } = internals;
  const rows = Math.floor(size / ROW);
  const rest = Math.floor(size % ROW / TEXELS[format]);
  const needed = Math.ceil(size / ROW);
  let known = textures.get(device);
  if (known === undefined) textures.set(device, known = new Map());
  let target = known.get(name);
  if (target === undefined || target.texture.height < needed || poisoned) {
    const height = Math.max(LEAST_ROWS, 2 ** Math.ceil(Math.log2(needed))); // grows seldom
    target = create(device, format, Math.min(height, device.limits.maxTextureDimension2D), poisoned);
    if (!poisoned) known.set(name, target);
  }
  const encoder = encoderForCopies(internals);
  const { texture, view } = target;
  if (rows > 0) {
    const whole = [ROW / TEXELS[format], rows];
    encoder.copyBufferToTexture({ buffer, offset, bytesPerRow: ROW }, { texture }, whole);
  }
  if (rest > 0) {
    const after = { buffer, offset: offset + rows * ROW, bytesPerRow: ROW };
    encoder.copyBufferToTexture(after, { texture, origin: [0, rows] }, [rest, 1]);
  }
  return view;
}

/** What it replaces is not destroyed: captured commands may use it. */
function create(device: GPUDevice, format: TextureFormat, height: number, poisoned: boolean): Texture {
  const size = [ROW / TEXELS[format], height];
  const usage = GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST;
  const texture = device.createTexture({ size, format, usage });
  if (poisoned) {
    const nan = new Float32Array(ROW / 4 * height).fill(NaN);
    device.queue.writeTexture({ texture }, nan, { bytesPerRow: ROW }, size);
  }
  return { texture, view: texture.createView() };
}
