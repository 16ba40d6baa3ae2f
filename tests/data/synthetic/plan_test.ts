import { assert, assertAlmostEquals, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { videoOfTrack } from "../../../data/aff_wild2/mod.ts";
import { type PlannedTrack, planSet, validationCount } from "../../../data/synthetic/plan.ts";
import { planTrack } from "../../../data/synthetic/track.ts";

const SPLITS = ["train", "validation"] as const;
/** Labelled training frames of the 2021 edition in thousands: Neutral, Anger, .., Surprise. */
const REAL_COUNTS = [221, 23.6, 12.9, 10.6, 152.7, 101.8, 41];

/** [7] share of the frames that carry each label. */
function labelShares(plans: readonly PlannedTrack[], seed: number): number[] {
  const counts = new Array<number>(7).fill(0);
  let total = 0;
  for (const { name, frames, expressions, dense } of plans) {
    for (const { expression } of planTrack(seed, name, frames, expressions, dense).states) {
      counts[expression]++;
      total++;
    }
  }
  return counts.map((count) => count / total);
}

Deno.test("planSet: same seed, same plan; another seed, another plan", () => {
  assertEquals(planSet(12, 90, 5, false), planSet(12, 90, 5, false));
  assertNotEquals(planSet(12, 90, 5, false), planSet(12, 90, 6, false));
});

Deno.test("planSet: as many tracks as asked for, a quarter of them validation", () => {
  for (const [tracks, validation] of [[2, 1], [4, 1], [6, 2], [8, 2], [12, 3], [48, 12]]) {
    const plans = planSet(tracks, 60, 1, false);
    assertEquals(plans.length, tracks);
    assertEquals(plans.filter(({ split }) => split === "validation").length, validation);
    assertEquals(validationCount(tracks), validation);
  }
});

Deno.test("planSet: no video and no person is in both splits, no name twice", () => {
  const plans = planSet(24, 60, 3, false);
  assertEquals(new Set(plans.map(({ name }) => name)).size, 24);
  const [train, validation] = SPLITS.map((split) => plans.filter((plan) => plan.split === split));
  const videos = new Set(train.map(({ name }) => videoOfTrack(name)));
  for (const { name } of validation) assert(!videos.has(videoOfTrack(name)), `${name} is in both splits`);
  const people = plans.map(({ name }) => JSON.stringify(planTrack(3, name, 1, [0]).identity));
  assertEquals(new Set(people).size, 24);
});

Deno.test("planSet: from six tracks on a left/right pair, one short track, one CRLF file", () => {
  for (const tracks of [6, 12, 48]) {
    const plans = planSet(tracks, 60, 1, false);
    const sides = plans.filter(({ name }) => /_(left|right)$/.test(name));
    assertEquals(sides.map(({ name }) => name), ["video1_left", "video1_right"]);
    assertEquals(new Set(sides.map(({ split }) => split)).size, 1);
    const short = plans.filter(({ frames }) => frames !== 60);
    assertEquals(short.length, 1);
    assertLess(short[0].frames, 9);
    assertEquals(plans.filter(({ crlf }) => crlf).length, 1);
  }
});

Deno.test("planSet: every expression is labelled in both splits where the episodes allow", () => {
  for (const seed of [1, 2, 3]) {
    for (const balanced of [false, true]) {
      const plans = planSet(12, 90, seed, balanced);
      for (const split of SPLITS) {
        const shares = labelShares(plans.filter((plan) => plan.split === split), seed);
        assert(shares.every((share) => share > 0), `${split}, seed ${seed}: shares ${shares}`);
      }
    }
  }
});

Deno.test("planSet: the labels are as unequal as the real set's", () => {
  const total = REAL_COUNTS.reduce((sum, count) => sum + count, 0);
  const plans = planSet(64, 120, 1, false).filter(({ split }) => split === "train");
  for (const [expression, share] of labelShares(plans, 1).entries()) {
    assertAlmostEquals(share, REAL_COUNTS[expression] / total, 0.025, `expression ${expression}`);
  }
});

Deno.test("planSet: balanced, all seven are about equally frequent, and a track has several", () => {
  const plans = planSet(64, 120, 1, true).filter(({ split }) => split === "train");
  const shares = labelShares(plans, 1);
  assertLess(Math.max(...shares) / Math.min(...shares), 1.3);
  // Else who a face belongs to would tell what it shows.
  for (const { name, frames, expressions } of plans) assert(frames < 120 || expressions.length === 5, name);
});
