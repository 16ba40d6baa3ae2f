/**
 * From a shader file and its constants to a compiled pipeline, once per device.
 *
 * @module
 */
import { debug } from "./debug.ts";
import { adapterTraits, endRun } from "./device.ts";
import { readsTextures, type TextureBinding, textureBindings } from "./textures.ts";
import { type UniformMember, uniformMembers } from "./uniforms.ts";
import { type Constants, expandLines, type ShaderFile, shaderKey } from "./wgsl.ts";

/** A compiled shader, and what a dispatch needs to know of it. */
export interface Program {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly uniforms: readonly UniformMember[];
  /** what it reads from textures */
  readonly textures: readonly TextureBinding[];
}

const caches = new WeakMap<GPUDevice, Map<string, Program>>();

let substitute: ((shader: ShaderFile) => ShaderFile) | undefined;

/**
 * Runs a body with other shaders in the place of some: how an edited file is tried without touching the op.
 *
 * @param replace returns the shader to run; one with another source must have another name
 */
export function withShaders<T>(replace: (shader: ShaderFile) => ShaderFile, body: () => T): T {
  const before = substitute;
  substitute = replace;
  try {
    return body();
  } finally {
    substitute = before;
  }
}

/**
 * Refuses a shader whose lanes share by subgroup operations where a subgroup has fewer: it would compute something else.
 * By convention LANES is how many do, the size of their part of a workgroup.
 */
function requireLanes(device: GPUDevice, file: string, code: string): void {
  if (!/\bsubgroup[A-Z]\w*\(/.test(code)) return;
  const lanes = Number(/^const LANES\b[^=]*= (\d+)u?;/m.exec(code)?.[1]);
  const { subgroupSize } = adapterTraits(device);
  if (lanes <= subgroupSize) return;
  if (Number.isNaN(lanes)) {
    throw new SyntaxError(`Cannot run ${file}: it has subgroup operations but no const LANES`);
  }
  throw new RangeError(
    `Cannot run ${file}: ${lanes} lanes share values; expected at most the ${subgroupSize} of this adapter's subgroups`,
  );
}

/**
 * Compiles a shader, or returns what was compiled before. What the compiler refuses ends the run with an error that
 * names the shader's file and line: the WebGPU interface tells it only later.
 *
 * @throws {SyntaxError} if the shader cannot be expanded
 * @throws {RangeError} if its lanes are more than a subgroup has
 */
export function compile(device: GPUDevice, file: ShaderFile, constants: Constants = {}): Program {
  const shader = substitute === undefined ? file : substitute(file);
  let cache = caches.get(device);
  if (cache === undefined) caches.set(device, cache = new Map());
  const key = shaderKey(shader, constants);
  const known = cache.get(key);
  if (known !== undefined) return known;
  const { program, problem } = create(device, shader, constants, key);
  problem.then((message) => message !== undefined && endRun(message));
  cache.set(key, program);
  return program;
}

/** What the compiler says of a shader, with file and line; undefined if it takes it. */
export async function compileError(
  device: GPUDevice,
  shader: ShaderFile,
  constants: Constants = {},
): Promise<string | undefined> {
  return await create(device, shader, constants, shaderKey(shader, constants)).problem;
}

function create(
  device: GPUDevice,
  shader: ShaderFile,
  constants: Constants,
  label: string,
): { program: Program; problem: Promise<string | undefined> } {
  const lines = expandLines(shader, constants, readsTextures(device));
  const code = lines.map(({ text }) => text).join("\n");
  const uniforms = uniformMembers(shader.file, code);
  const textures = textureBindings(code);
  requireLanes(device, shader.file, code);
  debug(3, () => `source of ${label}\n${code}`);
  const start = performance.now();
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code, label });
  const pipeline = device.createComputePipeline({
    layout: "auto",
    label,
    compute: { module, entryPoint: "main" },
  });
  const layout = pipeline.getBindGroupLayout(0);
  debug(1, () => `pipeline ${label} in ${(performance.now() - start).toFixed(1)} ms`);
  const problem = device.popErrorScope().then((error) => {
    if (error === null) return undefined;
    const line = lines[Number(/wgsl:(\d+):/.exec(error.message)?.[1]) - 1];
    return `${line ? `${line.file}:${line.number}` : label} does not compile: ${error.message.trim()}`;
  });
  return { program: { pipeline, layout, uniforms, textures }, problem };
}
