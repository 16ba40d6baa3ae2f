/** Pretrained files in memory. */
import type { WeightsFile } from "../../../models/weights/file.ts";
import { backboneNames, classifierNames, type Naming } from "../../../models/weights/resnet50_names.ts";
import type { StoredTensor } from "../../../models/weights/tensor.ts";
import { goldenValues } from "../../golden/weights.ts";

/** A file in memory with the golden ResNet50, in any naming. */
export function fileOf(
  { naming = "torchvision", width = 2, classes, prefix = "", ...rest }: {
    naming?: Naming;
    width?: number;
    classes?: number;
    prefix?: string;
  } & Partial<Pick<WeightsFile, "format" | "groups" | "metadata">>,
): WeightsFile & { tensors: Map<string, StoredTensor> } {
  const names = [...backboneNames(width), ...(classes ? classifierNames(width, classes) : [])];
  const kerasShape = (shape: readonly number[]) =>
    shape.length === 4 ? [2, 3, 1, 0].map((axis) => shape[axis]) : [...shape].reverse();
  const tensors = new Map(names.map((name): [string, StoredTensor] => {
    const shape = naming === "keras" ? kerasShape(name.shape) : [...name.shape];
    const read = () => ({
      dtype: "F32" as const,
      shape,
      data: goldenValues(name),
    });
    return [prefix + name[naming], { dtype: "F32", shape, read }];
  }));
  return {
    path: "x.pth",
    format: "PyTorch zip",
    size: 0,
    groups: [],
    metadata: {},
    ...rest,
    tensors,
    [Symbol.dispose]() {},
  };
}
