import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type AdapterRecord, initializeDevice } from "../../../kernels/runtime/device.ts";
import { run } from "../../../kernels/runtime/program.ts";
import {
  choiceFile,
  forgetChoices,
  hashShaders,
  requireChoices,
  shapeClass,
  type TuneCase,
  tuneCase,
  useChoices,
  variantFor,
} from "../../../kernels/runtime/tuner.ts";
import roundsSource from "./shaders/rounds.wgsl" with { type: "text" };

const adapter = await initializeDevice();

interface Variant {
  readonly ROUNDS: number;
  readonly WRONG?: boolean;
}

const SHADER = { file: "shaders/rounds.wgsl", source: roundsSource };
const SIZE = 4096;

/** An op whose variants differ in how much needless work they do. */
function caseOf(variants: readonly Variant[], more: Partial<TuneCase<Variant>> = {}): TuneCase<Variant> {
  return {
    op: "rounds",
    sizes: { n: 4000 },
    shaders: [SHADER],
    candidates: () => variants,
    setup() {
      const x = tf.ones([SIZE]);
      return {
        run: (variant) =>
          run({
            shader: SHADER,
            constants: { ...variant },
            inputs: [x],
            outputs: [{ shape: [SIZE] }],
            workgroups: [SIZE / 8],
          }),
        expected: () => tf.sqrt(x),
        tolerance: 1e-6,
        dispose: () => x.dispose(),
      };
    },
    ...more,
  };
}

const never = () => {
  throw new Error("a right candidate was called wrong");
};

Deno.test("the fastest candidate is chosen, with its times", async () => {
  const tensors = tf.memory().numTensors;
  const choice = await tuneCase(caseOf([{ ROUNDS: 8192 }, { ROUNDS: 1 }, { ROUNDS: 16384 }]), never);
  assertEquals([choice.op, choice.shape_class, choice.variant], ["rounds", "n4096", { ROUNDS: 1 }]);
  assertEquals(choice.shaders, await hashShaders([SHADER]));
  assert(choice.ms > 0 && choice.ms < choice.default_ms, `${choice.ms} and ${choice.default_ms} ms`);
  assertEquals(tf.memory().numTensors, tensors);
});

Deno.test("the default stays unless another is clearly faster", async () => {
  const choice = await tuneCase(caseOf([{ ROUNDS: 1 }, { ROUNDS: 8192 }]), never);
  assertEquals(choice.variant, { ROUNDS: 1 });
  assertEquals(choice.ms, choice.default_ms);
});

Deno.test("each round begins with another candidate, after a run of it that does not count", async () => {
  const names: string[] = [];
  const item = caseOf([]);
  const variants = ["a", "b", "c"].map((name) => ({ ROUNDS: 64, name }));
  await tuneCase({
    ...item,
    candidates: () => variants,
    setup() {
      const { run, ...rest } = item.setup();
      const named = ({ ROUNDS, name }: { ROUNDS: number; name: string }) => {
        names.push(name);
        return run({ ROUNDS });
      };
      return { ...rest, run: named };
    },
  }, never);
  assertEquals(names.slice(0, 3), ["a", "b", "c"]); // the gate
  const rounds = names.slice(3).join("");
  assert(rounds.startsWith("aabc"), rounds);
  // One that was too slow in a round, by chance, is dropped.
  const seconds = ["bbca", "bbac", "bba", "bb", "ccab", "ccba", "cca", "cc", "bbc", "aab", "aac", "aa"];
  assert(seconds.some((second) => rounds.startsWith(second, 4)), rounds);
});

Deno.test("a candidate that is wrong is told and left out, however fast", async () => {
  const wrong: [Variant, number][] = [];
  const choice = await tuneCase(
    caseOf([{ ROUNDS: 512 }, { ROUNDS: 1, WRONG: true }]),
    (variant, difference) => wrong.push([variant, difference]),
  );
  assertEquals(choice.variant, { ROUNDS: 512 });
  assertEquals(wrong, [[{ ROUNDS: 1, WRONG: true }, 1]]);
});

Deno.test("a default that is wrong ends it", async () => {
  await assertRejects(
    () => tuneCase(caseOf([{ ROUNDS: 1, WRONG: true }]), never),
    Error,
    'Cannot tune rounds n4096: its default {"ROUNDS":1,"WRONG":true} is wrong by 1; expected at most 0.000001',
  );
});

Deno.test("an interrupt ends it", async () => {
  const controller = new AbortController();
  controller.abort(new RangeError("stop"));
  await assertRejects(() => tuneCase(caseOf([{ ROUNDS: 1 }]), never, controller.signal), RangeError, "stop");
});

const choiceOf = async (shape_class: string, variant: Variant) => ({
  op: "rounds",
  shape_class,
  shaders: await hashShaders([SHADER]),
  variant,
  ms: 1,
  default_ms: 2,
});
const shipped = (): Variant => ({ ROUNDS: 7 });

Deno.test("variantFor gives the default until choices are used", async () => {
  forgetChoices();
  assertEquals(variantFor("rounds", { n: 4001 }, shipped), { ROUNDS: 7 });
  const file = choiceFile(adapter, [await choiceOf("n4096", { ROUNDS: 3 })]);
  // as read from a file
  assertEquals(await useChoices(JSON.parse(JSON.stringify(file)), adapter, [caseOf([{ ROUNDS: 3 }])]), {
    used: 1,
    stale: 0,
  });
  assertEquals(variantFor("rounds", { n: 4001 }, shipped), { ROUNDS: 3 });
  assertEquals(variantFor("rounds", { n: 4097 }, shipped), { ROUNDS: 7 });
  assertEquals(variantFor("others", { n: 4096 }, shipped), { ROUNDS: 7 });
  forgetChoices();
  assertEquals(variantFor("rounds", { n: 4001 }, shipped), { ROUNDS: 7 });
});

Deno.test("choices of shaders that have changed are not used", async () => {
  const file = choiceFile(adapter, [
    await choiceOf("n4096", { ROUNDS: 3 }),
    await choiceOf("n8192", { ROUNDS: 4 }),
  ]);
  const changed = caseOf([], { shaders: [{ ...SHADER, source: `${roundsSource}// changed` }] });
  assertEquals(await useChoices(file, adapter, [changed]), { used: 0, stale: 2 });
  assertEquals(variantFor("rounds", { n: 4001 }, shipped), { ROUNDS: 7 });
  assertEquals(await useChoices(file, adapter, []), { used: 0, stale: 2 });
});

Deno.test("a choice that is no candidate of its op and class is not used", async () => {
  const item = caseOf([{ ROUNDS: 3 }]);
  for (const variant of [{}, 7, null, { kind: "nonsense" }, { ROUNDS: 4 }]) {
    const file = choiceFile(adapter, [await choiceOf("n4096", variant as Variant)]);
    assertEquals(await useChoices(file, adapter, [item]), { used: 0, stale: 1 }, JSON.stringify(variant));
    assertEquals(variantFor("rounds", { n: 4001 }, shipped), { ROUNDS: 7 });
  }
  const elsewhere = choiceFile(adapter, [await choiceOf("n8192", { ROUNDS: 3 })]);
  assertEquals(await useChoices(elsewhere, adapter, [item]), { used: 0, stale: 1 });
});

Deno.test("a file's keys may be in another order", () => {
  const { adapter: of, deno, choices } = choiceFile(adapter, []);
  const { description, features, limits } = of;
  const file = { choices, deno, adapter: { limits, features, description } };
  assertEquals(requireChoices(file, adapter), choiceFile(adapter, []));
});

Deno.test("a file of another adapter or version, or none at all, is refused", async () => {
  const file = choiceFile(adapter, [await choiceOf("n4096", { ROUNDS: 3 })]);
  const refused = (given: unknown, of: AdapterRecord, message: string) =>
    assertRejects(() => useChoices(given, of, []), Error, message);
  await refused(file, { ...adapter, description: "another GPU" }, "this is another GPU");
  await refused(
    file,
    { ...adapter, limits: { ...adapter.limits, maxBufferSize: 1 } },
    "Cannot use tuned variants of",
  );
  await refused({ ...file, deno: "1.0.0" }, adapter, "under Deno 1.0.0");
  const others = [{ ...file, choices: {} }, { ...file, choices: [{ op: "rounds" }] }];
  const adapters = [null, 5, {}].map((of) => ({ ...file, adapter: of }));
  for (const wrong of [null, 7, [], {}, ...others, ...adapters]) {
    await refused(wrong, adapter, "expected a file that `deno task tune` wrote");
  }
  assertEquals(requireChoices(file, adapter), file);
});

Deno.test("hashes and classes", async () => {
  const hash = await hashShaders([SHADER]);
  assertEquals(hash.length, 16);
  assert(hash !== await hashShaders([{ ...SHADER, includes: { "a.wgsl": "" } }]));
  assertEquals(shapeClass({ m: 1, n: 5, k: 17, c: 64, d: 65 }), "m1 n5 k32 c64 d128");
});
