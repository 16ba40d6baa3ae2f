/**
 * A command encoder whose dispatches and copies can be watched one by one: what timing and counting are made of.
 *
 * @module
 */
import type { Dispatch } from "./dispatch.ts";

/** What tfjs and we use of a GPUComputePassEncoder. */
export interface ComputePass {
  setPipeline(pipeline: GPUComputePipeline): void;
  setBindGroup(index: number, group: GPUBindGroup): void;
  dispatchWorkgroups(x: number, y?: number, z?: number): void;
  end(): void;
}

/** The arguments of `copyBufferToTexture`. */
export type TextureCopy = [GPUTexelCopyBufferInfo, GPUTexelCopyTextureInfo, [number, number]];

/** Gets what is recorded while it is set, ours and tfjs's own; see `hookCommands` in program.ts. */
export interface CommandHook {
  /**
   * A dispatch, which `record` records in a pass of its own, behind the copies of its operands to textures; the time is that
   * of both.
   *
   * @param name our shader's file, or tfjs's program
   * @param dispatch undefined for tfjs's own
   */
  onDispatch(
    name: string,
    dispatch: Dispatch | undefined,
    record: (timestampWrites?: GPUComputePassTimestampWrites) => void,
  ): void;
  /**
   * A copy of so many bytes between two buffers, which `record` records.
   *
   * @param stamp records an empty pass with these timestamps
   */
  onCopy(
    bytes: number,
    record: () => void,
    stamp: (timestampWrites: GPUComputePassTimestampWrites) => void,
  ): void;
}

/**
 * The encoder, with its dispatches and copies handed to the hook.
 *
 * @param current our dispatch that is being recorded, if it is ours
 */
export function hookedEncoder(
  encoder: GPUCommandEncoder,
  hook: CommandHook,
  current: () => Dispatch | undefined,
): GPUCommandEncoder {
  const begin = encoder.beginComputePass.bind(encoder);
  const copy = encoder.copyBufferToBuffer.bind(encoder) as (...args: unknown[]) => void;
  const copyToTexture = encoder.copyBufferToTexture.bind(encoder);
  const operands: TextureCopy[] = []; // of the next dispatch
  const pass = (): ComputePass => {
    let pipeline: GPUComputePipeline;
    const groups = new Map<number, GPUBindGroup>();
    return {
      setPipeline(given) {
        pipeline = given;
      },
      setBindGroup(index, group) {
        groups.set(index, group);
      },
      dispatchWorkgroups: (...counts) =>
        hook.onDispatch(current()?.shader.file ?? pipeline.label, current(), (timestampWrites) => {
          const own = operands.length === 0 ? begin({ timestampWrites }) : beginAfterCopies(timestampWrites);
          own.setPipeline(pipeline);
          groups.forEach((group, index) => own.setBindGroup(index, group));
          own.dispatchWorkgroups(...counts);
          own.end();
        }),
      end() {},
    };
  };
  const beginAfterCopies = (timestampWrites?: GPUComputePassTimestampWrites) => {
    const { querySet, beginningOfPassWriteIndex, endOfPassWriteIndex } = timestampWrites ?? {};
    if (querySet) stamp({ querySet, beginningOfPassWriteIndex });
    operands.splice(0).forEach((args) => copyToTexture(...args));
    return begin({ timestampWrites: querySet && { querySet, endOfPassWriteIndex } });
  };
  const stamp = (timestampWrites: GPUComputePassTimestampWrites) => begin({ timestampWrites }).end();
  const replaced = {
    beginComputePass: pass,
    copyBufferToBuffer: (...args: unknown[]) =>
      hook.onCopy(args[args.length - 1] as number, () => copy(...args), stamp),
    copyBufferToTexture: (...args: TextureCopy) => operands.push(args),
  };
  return Object.assign(encoder, replaced) as unknown as GPUCommandEncoder;
}
