/** NaN and infinity in an attention; see nan_test.ts. */
import * as tf from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { attentionBackward, attentionForward } from "../../kernels/attention/attention.ts";
import type { BackwardVariant, ForwardVariant } from "../../kernels/attention/variants.ts";
import { register } from "../../kernels/mod.ts";
import { release } from "../../kernels/runtime/program.ts";
import { read, requireNan, values } from "./_nan.ts";

register();

function attentionVariants(frames: number): [ForwardVariant, BackwardVariant][] {
  return [
    [{ kind: "registers", queries: 2, keys: 3 }, { kind: "short", frames }],
    [{ kind: "registers", queries: 1, keys: 5 }, { kind: "registers", rows: 2, others: 3 }],
    [{ kind: "workgroup", rows: 1 }, { kind: "workgroup", rows: 1 }],
  ];
}

Deno.test("NaN in a query, a key, a value shows in an attention's context, and in its gradients", async () => {
  const [frames, size] = [5, 8];
  const mask = tf.tensor2d([1, 1, 0, 1, 1, 1, 1, 1, 1, 1], [2, frames], "int32");
  // Of clip 0, frame 1: the query meets all keys, the key all queries, the value's channel is summed by all queries.
  const parts = { query: 0, key: 1, value: 2 };
  for (const [forward, backward] of attentionVariants(frames)) {
    for (const given of [undefined, mask]) {
      const settings = { clips: 2, frames, heads: 1, size, mask: given };
      for (const [name, part] of Object.entries(parts)) {
        const what = `NaN in a ${name}, ${forward.kind}, ${backward.kind}${given ? ", masked" : ""}`;
        const qkv = values([2 * frames, 3 * size], (1 * 3 + part) * size + 4);
        const dcontext = values([2 * frames, size]);
        const outputs = attentionForward(qkv, settings, forward);
        const dqkv = attentionBackward(qkv, outputs, dcontext, settings, backward);
        const reaches = (i: number, channel: number) =>
          i < frames && (part === 0 ? i === 1 : part === 1 || channel === 4);
        const isScore = (_b: number, _a: number, i: number) => part === 0 ? i === 1 : part === 1;
        await requireNan(`${what}: lse`, outputs.logSumExp, (b, a, i) => b === 0 && isScore(b, a, i));
        await requireNan(`${what}: context`, outputs.context, reaches);
        const [dk, rest] = tf.tidy(() => {
          const all = tf.engine().makeTensorFromTensorInfo(dqkv);
          return [all.slice([0, size], [-1, size]), all.slice([frames, 0])];
        });
        await requireNan(`${what}: dk`, dk, (i) => i < frames && (given && i === 2 ? undefined : true));
        await requireNan(`${what}: the other clip`, rest, () => false);
        tf.dispose([qkv, dcontext]);
      }
    }
  }
  mask.dispose();
});

Deno.test("an attention whose scores are all -Infinity gives NaN; 0 where no key is, numbers where one score is", async () => {
  // 12 frames: the last tile of keys has none that clip 1 attends.
  for (const frames of [5, 12]) {
    const size = 4;
    const mask = tf.tensor2d(
      [frames, 3, 0].flatMap((attended) => Array.from({ length: frames }, (_, t) => t < attended ? 1 : 0)),
      [3, frames],
      "int32",
    );
    const q = 1e20; // q k overflows, for query 1 to Infinity less
    const rows = Array.from({ length: 3 * frames }, (_, i) => [i % frames === 1 ? 1 : q, -1e20, 0.5]);
    const qkv = tf.tensor2d(rows.map((parts) => parts.flatMap((value) => new Array(size).fill(value))));
    const dcontext = values([3 * frames, size]);
    // `short` of 12 frames takes ten seconds to compile.
    for (const [forward, backward] of attentionVariants(frames).slice(frames === 5 ? 0 : 1)) {
      for (const given of [undefined, mask]) {
        const what = `T ${frames}, ${forward.kind}, ${backward.kind}${given ? ", masked" : ""}`;
        const settings = { clips: 3, frames, heads: 1, size, mask: given };
        const attends = (clip: number) => given === undefined || clip < 2;
        const outputs = attentionForward(qkv, settings, forward);
        const dqkv = attentionBackward(qkv, outputs, dcontext, settings, backward);
        const context = await read(outputs.context);
        context.forEach((value, i) => {
          const [clip, frame] = [Math.floor(i / (size * frames)), Math.floor(i / size) % frames];
          const wanted = !attends(clip) ? 0 : frame === 1 ? 0.5 : NaN;
          assertEquals(Math.fround(value), wanted, `${what}: context [${clip}, ${frame}]`);
        });
        release(outputs.logSumExp);
        await requireNan(`${what}: dqkv`, dqkv, (row, column) => {
          const [clip, frame] = [Math.floor(row / frames), row % frames];
          if (!attends(clip)) return false;
          if (column < size) return frame !== 1; // dq
          const attended = given === undefined || clip === 0 || frame < 3;
          return attended ? true : column < 2 * size ? undefined : false; // dk: p is 0, its factor NaN
        });
      }
    }
    tf.dispose([mask, qkv, dcontext]);
  }
});

Deno.test("an attention's scores below -3e38 are numbers yet", async () => {
  const [frames, size] = [3, 4];
  const qkv = tf.tensor2d(
    Array.from({ length: frames }, () => [8e18, -1e19, 0.5].flatMap((v) => [v, v, v, v])),
  );
  for (const [forward] of attentionVariants(frames)) {
    const settings = { clips: 1, frames, heads: 1, size, scale: 1 };
    const { context, logSumExp } = attentionForward(qkv, settings, forward);
    release(logSumExp);
    for (const value of await read(context)) assertEquals(Math.abs(value - 0.5) < 1e-6, true, `${value}`);
  }
  qkv.dispose();
});
