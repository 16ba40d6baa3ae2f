/**
 * Commands that are captured once and launched again and again, as CUDA graphs are: what a training step costs the host
 * is then to encode them, without TensorFlow.js, its tape, and our own planning.
 *
 * A graph has buffers of its own (the pool's arena), so nobody else writes to what it keeps from one command to the
 * next. What it shares with the world: tensors that were there before (weights, inputs), which must stay on their
 * buffers, its output, and the numbers that are given as `LaunchValue`.
 *
 * Measured on lavapipe 22.3, milliseconds of the host's CPU a training step, one by one against launched: the small
 * ResNet50 22 and 3.6, the CNN-Transformer 5.8 and 0.8, the CNN-RNN 3.9 and 0.4.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { BoundResource } from "./bind_groups.ts";
import type { Arena } from "./buffer_pool.ts";
import { debug } from "./debug.ts";
import { adapterTraits, SOFTWARE_BATCH } from "./device.ts";
import type { TextureCopy } from "./hook.ts";
import { backendInternals, canCapture, isHooked, submit, withCapture } from "./program.ts";
import { copyTensors, emptyTensor } from "./tensors.ts";
import { LaunchValue } from "./uniforms.ts";
import { type BufferPart, isPart, liesIn } from "./views.ts";

/**
 * Dispatches of a submission: the device begins with the first ones while the host encodes the others. On a GPU few
 * enough that none of them takes the two seconds after which some systems reset a GPU.
 */
const BATCH = { software: SOFTWARE_BATCH, gpu: 50 };

type Command =
  | {
    readonly pipeline: GPUComputePipeline;
    readonly group: GPUBindGroup;
    readonly workgroups: readonly [number, number?, number?];
  }
  | { readonly buffers: readonly GPUBuffer[]; copy(encoder: GPUCommandEncoder): void };

/** Uniforms that are written before each launch. */
interface VaryingUniforms {
  readonly buffer: GPUBuffer;
  pack(): ArrayBuffer;
}

/** What `capture` has found. */
interface Captured {
  readonly commands: readonly Command[];
  readonly varying: readonly VaryingUniforms[];
  /** of uniforms, the graph's own */
  readonly uniforms: ReadonlySet<GPUBuffer>;
  /** buffers of tensors that were there before, and which use of each this is */
  readonly shared: ReadonlyMap<GPUBuffer, number>;
  /** tensors that are parts of a buffer, and where they were when they were used first */
  readonly parts: ReadonlyMap<object, BufferPart>;
  /** tensors that are written to and outlive a launch */
  readonly written: readonly object[];
  readonly arena: Arena;
}

/** Captured commands. */
export class CommandGraph<T extends tf.Tensor = tf.Tensor> {
  readonly #captured: Captured;
  readonly #output: T;
  #disposed = false;

  constructor(captured: Captured, output: T) {
    this.#captured = captured;
    this.#output = output;
  }

  /** Dispatches of a launch. */
  get dispatches(): number {
    return this.#captured.commands.filter((command) => "group" in command).length;
  }

  /** False once a tensor that it shares with the world has given up its buffer or its part of one, or it is disposed. */
  get valid(): boolean {
    if (this.#disposed) return false;
    const internals = backendInternals();
    const { shared, parts } = this.#captured;
    for (const [buffer, use] of shared) if (internals.bufferManager.useOf(buffer) !== use) return false;
    for (const [dataId, part] of parts) if (!liesIn(internals, dataId, part)) return false;
    return true;
  }

  /**
   * Submits the commands, with the launch values as they are now.
   *
   * @throws {Error} if it is not valid; while commands are hooked or captured, which would not notice
   */
  launch(): void {
    this.#requireGraph("launch");
    if (!this.valid) {
      throw new Error("Cannot launch captured commands: a tensor that they use is gone; capture them again");
    }
    if (isHooked()) {
      throw new Error(
        "Cannot launch captured commands while others are hooked or captured: run them one by one",
      );
    }
    submit();
    debug(2, () => `launch of ${this.dispatches} captured dispatches`);
    const { commands, varying, written } = this.#captured;
    const internals = backendInternals();
    const { device, tensorMap } = internals;
    for (const { buffer, pack } of varying) device.queue.writeBuffer(buffer, 0, pack());
    submitCommands(device, commands);
    for (const id of written) if (tensorMap.has(id)) internals.forgetValues(id);
  }

  /**
   * What the last launch has computed, or the capture; a copy, which the caller disposes.
   *
   * @throws {Error} if it is disposed
   */
  output(): T {
    this.#requireGraph("read the output of");
    const { shape, size, dtype } = this.#output;
    const copy = emptyTensor(shape, dtype);
    copyTensors([{ from: this.#output, fromOffset: 0, to: copy, toOffset: 0, size: 4 * size }]);
    return tf.engine().makeTensorFromTensorInfo(copy) as T;
  }

  #requireGraph(action: string): void {
    if (this.#disposed) throw new Error(`Cannot ${action} captured commands: they are disposed`);
  }

  /** Frees its buffers, once the launches are done; a second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    submit();
    this.#output.dispose();
    backendInternals().bufferManager.giveUp(this.#captured.arena);
    this.#captured.uniforms.forEach((buffer) => buffer.destroy());
  }
}

function submitCommands(device: GPUDevice, commands: readonly Command[]): void {
  let encoder = device.createCommandEncoder();
  let pass: GPUComputePassEncoder | undefined;
  let dispatches = 0;
  const batch = adapterTraits(device).software ? BATCH.software : BATCH.gpu;
  const endPass = () => {
    pass?.end();
    pass = undefined;
  };
  for (const command of commands) {
    if ("copy" in command) {
      endPass();
      command.copy(encoder);
      continue;
    }
    pass ??= encoder.beginComputePass();
    pass.setPipeline(command.pipeline);
    pass.setBindGroup(0, command.group);
    pass.dispatchWorkgroups(...command.workgroups);
    if (++dispatches % batch > 0) continue;
    endPass();
    device.queue.submit([encoder.finish()]);
    encoder = device.createCommandEncoder();
  }
  endPass();
  device.queue.submit([encoder.finish()]);
}

/** The encoder, which tells its dispatches and copies. */
function tellingEncoder(encoder: GPUCommandEncoder, tell: (command: Command) => void): GPUCommandEncoder {
  const begin = encoder.beginComputePass.bind(encoder);
  const copyBuffer = encoder.copyBufferToBuffer.bind(encoder) as (...copy: unknown[]) => void;
  const copyToTexture = encoder.copyBufferToTexture.bind(encoder);
  return Object.assign(encoder, {
    beginComputePass() {
      const pass = begin();
      let pipeline: GPUComputePipeline;
      let group: GPUBindGroup;
      return {
        setPipeline(given: GPUComputePipeline) {
          pass.setPipeline(pipeline = given);
        },
        setBindGroup(index: number, given: GPUBindGroup) {
          pass.setBindGroup(index, group = given);
        },
        dispatchWorkgroups(...workgroups: [number, number?, number?]) {
          pass.dispatchWorkgroups(...workgroups);
          tell({ pipeline, group, workgroups });
        },
        end: () => pass.end(),
      };
    },
    copyBufferToBuffer(...copy: [GPUBuffer, number, GPUBuffer, number, number]) {
      copyBuffer(...copy);
      tell({ buffers: [copy[0], copy[2]], copy: (encoder) => encoder.copyBufferToBuffer(...copy) });
    },
    copyBufferToTexture(...copy: TextureCopy) {
      copyToTexture(...copy);
      tell({ buffers: [copy[0].buffer], copy: (encoder) => encoder.copyBufferToTexture(...copy) });
    },
  }) as unknown as GPUCommandEncoder;
}

/** The buffers that a group made while `body` runs has. */
function withGroups<T>(device: GPUDevice, body: (buffersOf: Map<GPUBindGroup, GPUBuffer[]>) => T): T {
  const buffersOf = new Map<GPUBindGroup, GPUBuffer[]>();
  const create = device.createBindGroup;
  device.createBindGroup = (descriptor) => {
    const group = create.call(device, descriptor);
    const resources = [...descriptor.entries].map(({ resource }) => resource as BoundResource);
    const buffers = resources.flatMap((resource) => "buffer" in resource ? [resource.buffer] : []);
    buffersOf.set(group, buffers);
    return group;
  };
  try {
    return body(buffersOf);
  } finally {
    delete (device as Partial<GPUDevice>).createBindGroup; // an own method hid the prototype's
  }
}

/**
 * Runs a body once and keeps its commands. It must record the same commands whenever it runs, but for launch values;
 * read nothing; take no values from the host, so that what it needs must have been on the device before; and leave
 * behind nothing that is new but its result.
 *
 * @param body returns one tensor
 * @throws {Error} if a tensor's values come from the host, or one that was there before is gone when the body ends, or lies
 * in another buffer; if commands are hooked or captured already, or outputs are poisoned
 */
export function capture<T extends tf.Tensor>(body: () => T): CommandGraph<T> {
  if (!canCapture()) {
    throw new Error("Cannot capture commands: they are hooked or captured, or outputs are poisoned");
  }
  const { device, bufferManager, tensorMap } = backendInternals();
  submit();
  const commands: Command[] = [];
  const varying: VaryingUniforms[] = [];
  const uniforms = new Set<GPUBuffer>();
  const shared = new Map<GPUBuffer, number>();
  const made = new WeakSet<object>();
  const parts = new Map<object, BufferPart>();
  const written = new Set<object>();
  const sink = {
    uniforms(bytes: ArrayBuffer, values: Iterable<unknown>, pack: () => ArrayBuffer) {
      const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
      const buffer = device.createBuffer({ size: bytes.byteLength, usage });
      device.queue.writeBuffer(buffer, 0, bytes);
      uniforms.add(buffer);
      if ([...values].some((value) => value instanceof LaunchValue)) varying.push({ buffer, pack });
      return buffer;
    },
    made: (id: object) => made.add(id),
    used(id: object) {
      const { resource } = tensorMap.get(id);
      if (isPart(resource) && !parts.has(id)) parts.set(id, resource);
    },
    written: (id: object) => written.add(id),
  };
  const share = (buffer: GPUBuffer) => {
    if (uniforms.has(buffer) || bufferManager.inArena(buffer) || shared.has(buffer)) return;
    const use = bufferManager.useOf(buffer);
    if (use === undefined) throw new Error("Cannot capture commands: a buffer is not TensorFlow.js's");
    shared.set(buffer, use);
  };
  bufferManager.openArena();
  let arena: Arena | undefined;
  try {
    const output = withGroups(device, (buffersOf) => {
      const tell = (command: Command) => {
        commands.push(command);
        ("copy" in command ? command.buffers : buffersOf.get(command.group)!).forEach(share);
      };
      return withCapture(sink, (encoder) => tellingEncoder(encoder, tell), () => tf.keep(body()));
    });
    arena = bufferManager.closeArena();
    const there = (id: object) => tensorMap.has(id);
    const kept = {
      parts: new Map([...parts].filter(([id]) => !made.has(id) || there(id))),
      written: [...written].filter(there),
    };
    const graph = new CommandGraph({ commands, varying, uniforms, shared, ...kept, arena }, output);
    if (!graph.valid) {
      graph.dispose();
      throw new Error(
        "Cannot capture commands: a tensor that was there before is gone or elsewhere when they end",
      );
    }
    debug(1, () => `captured ${graph.dispatches} dispatches`);
    return graph;
  } catch (error) {
    if (arena === undefined) {
      bufferManager.giveUp(bufferManager.closeArena());
      uniforms.forEach((buffer) => buffer.destroy());
    }
    throw error;
  }
}
