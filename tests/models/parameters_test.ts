import { assertEquals, assertThrows } from "@std/assert";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { constant, Parameters } from "../../models/parameters.ts";
import type { HostTensor } from "../../models/weights/tensor.ts";

await initializeDevice();

function tensor(shape: number[], value: number): HostTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype: "F32", shape, data: new Float32Array(count).fill(value) };
}

Deno.test("loading lists missing, misshapen and unused tensors, and changes none then", async () => {
  const parameters = new Parameters(1);
  try {
    parameters.add("a.weight", "linear", [2, 3], constant(1));
    parameters.add("a.bias", "vector", [3], constant(1));
    const right: [string, HostTensor][] = [["a.weight", tensor([3, 2], 2)], ["a.bias", tensor([3], 2)]];
    const refuse = (given: [string, HostTensor][], reason: string, accepted?: (name: string) => boolean) =>
      assertThrows(() => parameters.load(new Map(given), accepted), Error, `Cannot load weights: ${reason}`);
    refuse(right.slice(1), "a.weight is missing");
    refuse([["a.weight", tensor([2, 3], 2)], right[1]], "a.weight is [2, 3] instead of [3, 2]");
    refuse([...right, ["b", tensor([1], 2)]], "b is unused");
    refuse(right, "a.bias is unused", (name) => name === "a.weight");
    const values = async () => [...(await parameters.toHost()).values()].map(({ data }) => data[0]);
    assertEquals(await values(), [1, 1]);
    parameters.load(new Map(right));
    assertEquals(await values(), [2, 2]);
  } finally {
    parameters.dispose();
  }
});
