/**
 * A pool of workers that make the rows of batches; who makes which row changes nothing in it. Rows are transferred, not
 * copied. (Rows in shared memory would save putting a batch together, but what is shared never urges the garbage
 * collector: 3 GB were in use where a few hundred MB were alive.)
 *
 * @module
 */
import type { Reply, Request } from "./image_worker.ts";
import { makeRows, type RowsOrder, type RowsResult } from "./image_rows.ts";
import { Limit } from "./limit.ts";

/** Orders that a worker has at once: the next one is at hand when one is done. */
const ORDERS_AT_ONCE = 2;

/** Images under way at once in the main thread, in all: enough for sharp's threads on every core. */
const underway = new Limit(Math.max(8, 4 * navigator.hardwareConcurrency));

/**
 * Workers where nothing is said: two cores are left to the main thread and the device's driver, and eight feed any one
 * device. None on two cores, where they would only take turns with the driver.
 */
export const DEFAULT_WORKERS = Math.min(8, Math.max(0, navigator.hardwareConcurrency - 2));

interface Waiting {
  readonly order: RowsOrder;
  readonly signal?: AbortSignal;
  resolve(result: RowsResult): void;
  reject(reason: unknown): void;
}

interface Member {
  readonly worker: Worker;
  /** by id */
  readonly orders: Map<number, Waiting>;
}

/**
 * Workers that read images; with a count of 0 the main thread does it. They start when there is work for them and
 * keep the process alive until they are disposed.
 */
export class ImageWorkers implements Disposable {
  readonly count: number;
  readonly #members: Member[] = [];
  readonly #queue: Waiting[] = [];
  #ids = 0;
  #ended: Error | undefined;

  /**
   * @param count of workers
   * @throws {RangeError} if it is no count
   */
  constructor(count: number = DEFAULT_WORKERS) {
    if (!Number.isSafeInteger(count) || count < 0) {
      throw new RangeError(`Cannot start workers: expected 0 or more of them but got ${count}`);
    }
    this.count = count;
  }

  /**
   * Makes the rows of an order; returns or throws once nothing of it is under way any more.
   *
   * @throws the signal's reason if it aborts before the order was begun; {Error} if a worker fails or the pool was
   * disposed. Images that cannot be used are in the result.
   */
  async make(order: RowsOrder, signal?: AbortSignal): Promise<RowsResult> {
    if (this.count === 0) return await makeRows(order, { limit: underway, signal });
    if (this.#ended !== undefined) throw this.#ended;
    return await new Promise((resolve, reject) => {
      this.#queue.push({ order, signal, resolve, reject });
      this.#dispatch();
    });
  }

  /** Ends the workers at once; what they have not made is an error. */
  [Symbol.dispose](): void {
    this.#end(new Error("Cannot make images: the workers were ended"));
  }

  /** Hands out orders, the oldest first, to the workers that have the fewest. */
  #dispatch(): void {
    while (this.#queue.length > 0) {
      const { signal, reject } = this.#queue[0];
      if (signal?.aborted) {
        this.#queue.shift();
        reject(signal.reason);
        continue;
      }
      const member = this.#leastBusy();
      if (member.orders.size >= ORDERS_AT_ONCE) return;
      const waiting = this.#queue.shift()!;
      const id = this.#ids++;
      member.orders.set(id, waiting);
      member.worker.postMessage({ id, order: waiting.order } satisfies Request);
    }
  }

  /** The worker that has the fewest orders: a new one where all have some and there may be more. */
  #leastBusy(): Member {
    const least = this.#members.toSorted((a, b) => a.orders.size - b.orders.size).at(0);
    if (least?.orders.size === 0 || (least && this.#members.length === this.count)) return least;
    const member = this.#start();
    this.#members.push(member);
    return member;
  }

  #start(): Member {
    const worker = new Worker(new URL("./image_worker.ts", import.meta.url).href, { type: "module" });
    const orders = new Map<number, Waiting>();
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const { resolve, reject } = orders.get(data.id)!;
      orders.delete(data.id);
      if ("result" in data) resolve(data.result);
      else reject(new Error(`Cannot make images: a worker failed: ${data.error}`));
      this.#dispatch();
    };
    worker.onmessageerror = () => this.#end(new Error("Cannot make images: a worker's answer is unreadable"));
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new Error(`Cannot make images: a worker failed: ${event.message}`));
    };
    return { worker, orders };
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    const unfinished = [...this.#members.flatMap(({ orders }) => [...orders.values()]), ...this.#queue];
    this.#members.forEach(({ worker }) => worker.terminate());
    this.#members.length = 0;
    this.#queue.length = 0;
    unfinished.forEach(({ reject }) => reject(this.#ended));
  }
}
