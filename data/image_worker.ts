/**
 * What runs in each worker of {@link ImageWorkers}: takes orders, answers with rows of batches.
 *
 * @module
 */
import { makeRows, type RowsOrder, type RowsResult } from "./image_rows.ts";
import { Limit } from "./limit.ts";

/** What a worker is sent. */
export interface Request {
  readonly id: number;
  readonly order: RowsOrder;
}

/** What a worker answers; `error` is what no decision about bad images covers. */
export type Reply = { readonly id: number } & ({ readonly result: RowsResult } | { readonly error: string });

/** While one image is resized here, sharp's threads decode the others. */
const limit = new Limit(8);

// deno-lint-ignore no-explicit-any -- the types of this project are those of the main thread
const scope = self as any;
scope.onmessage = async ({ data: { id, order } }: MessageEvent<Request>) => {
  try {
    const result = await makeRows(order, { limit, blocking: true });
    scope.postMessage({ id, result } satisfies Reply, [result.rows.buffer]);
  } catch (error) {
    const text = String(error);
    scope.postMessage({ id, error: text } satisfies Reply);
  }
};
