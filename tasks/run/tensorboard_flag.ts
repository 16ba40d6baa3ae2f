/**
 * The flag `--tensorboard` of the tasks that train.
 *
 * @module
 */

/** Where TensorBoard's event files go. */
export const TENSORBOARD_FLAG = {
  type: "string",
  placeholder: "DIR",
  description: "also write event files for TensorBoard: tensorboard --logdir DIR",
} as const;

/** The folder of a run under `--tensorboard`; undefined without the flag. */
export function tensorboardFolder(
  { tensorboard }: { readonly tensorboard: string | undefined },
  run: string,
): string | undefined {
  return tensorboard === undefined ? undefined : `${tensorboard}/${run}`;
}
