import { assert, assertEquals, assertGreater, assertLess, assertNotEquals } from "@std/assert";
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/mod.ts";
import { RandomStream } from "../../../data/random.ts";
import {
  activation,
  type DrawnUnit,
  drawPeak,
  type Episode,
  LABEL_THRESHOLD,
  relaxed,
  stateAt,
  UNIT_THRESHOLD,
} from "../../../data/synthetic/expressions.ts";
import { renderJpeg, renderPixels, type Scene } from "../../../data/synthetic/render.ts";
import { planTrack } from "../../../data/synthetic/track.ts";

const SIZE = 48;

/** Action units of each expression's prototype that are at an apex in every draw, by label. */
const CORE: readonly (readonly DrawnUnit[])[] = [
  [],
  ["AU4", "AU7", "AU23"],
  ["AU9", "AU10"],
  ["AU1", "AU4", "AU5", "AU20", "AU25"],
  ["AU6", "AU12"],
  ["AU1", "AU15"],
  ["AU1", "AU2", "AU25", "AU26"],
];
/** A unit that would contradict the expression. */
const ABSENT: readonly DrawnUnit[] = ["AU12", "AU12", "AU12", "AU12", "AU15", "AU12", "AU4"];

function jpeg(plan: ReturnType<typeof planTrack>, frame: number): Promise<Uint8Array> {
  return renderJpeg(plan.scene(frame), SIZE, new RandomStream(1, "noise", plan.name, frame));
}

/** A face seen from the front without accidents or noise. */
function stillScene(): Scene {
  return {
    ...planTrack(1, "still", 1, [0]).scene(0),
    pose: { yaw: 0, pitch: 0, roll: 0, scale: 1.1, shiftX: 0, shiftY: 0 },
    intensities: relaxed(),
    gain: [1, 1, 1],
    gaze: [0, 0],
    occluder: undefined,
    lightX: 0,
    blink: 0,
    blur: 0,
    noise: 0,
  };
}

Deno.test("drawPeak: every expression shows its prototype and not its opposite", () => {
  for (const [expression, name] of EXPRESSIONS.entries()) {
    for (let draw = 0; draw < 20; draw++) {
      const peak = drawPeak(expression, 0.85, new RandomStream(1, "peak", expression, draw));
      for (const unit of CORE[expression]) {
        assertGreater(peak[unit], UNIT_THRESHOLD, `${name}, draw ${draw}: ${unit} is ${peak[unit]}`);
      }
      assertLess(peak[ABSENT[expression]], UNIT_THRESHOLD, `${name}: ${ABSENT[expression]}`);
    }
  }
});

Deno.test("activation: rises over the onset, stays at the apex, falls over the offset", () => {
  const episode: Episode = { expression: 4, start: 10, onset: 5, apex: 6, offset: 5, peak: relaxed() };
  const levels = Array.from({ length: 40 }, (_, frame) => activation(episode, frame));
  for (let frame = 0; frame < 40; frame++) {
    if (frame < 10 || frame >= 26) assertEquals(levels[frame], 0);
    else if (frame >= 15 && frame < 21) assertEquals(levels[frame], 1);
    else assert(levels[frame] > 0 && levels[frame] < 1, `frame ${frame}: ${levels[frame]}`);
    if (frame > 10 && frame <= 15) assertGreater(levels[frame], levels[frame - 1]);
    if (frame >= 21 && frame < 26) assertLess(levels[frame], levels[frame - 1]);
  }
});

Deno.test("stateAt: the label follows the activation, the units follow the peak", () => {
  const peak = { ...relaxed(), AU12: 1, AU6: 0.8 };
  const episode: Episode = { expression: 4, start: 5, onset: 6, apex: 4, offset: 6, peak };
  for (let frame = 0; frame < 30; frame++) {
    const level = activation(episode, frame);
    const { expression, intensities } = stateAt(frame, relaxed(), [episode], 0);
    assertEquals(expression, level >= LABEL_THRESHOLD ? 4 : 0);
    assertEquals(intensities.AU12, level);
    assertEquals(intensities.AU15, 0);
  }
});

Deno.test("stateAt: speech opens the mouth without an expression", () => {
  const { expression, intensities } = stateAt(0, relaxed(), [], 1);
  assertEquals(expression, 0);
  assertGreater(intensities.AU25, UNIT_THRESHOLD);
  assertGreater(intensities.AU26, UNIT_THRESHOLD);
});

Deno.test("planTrack: each expression of the plan is labelled somewhere, and no other", () => {
  const { states } = planTrack(2, "video9", 120, [4, 1, 6]);
  assertEquals(new Set(states.map(({ expression }) => expression)), new Set([0, 1, 4, 6]));
});

Deno.test("planTrack: the head moves and the light changes between frames, and some frames have accidents", () => {
  let blurred = 0, covered = 0, blinks = 0;
  for (const name of ["video1", "video2", "video3", "video4"]) {
    const plan = planTrack(1, name, 200, [4, 1, 6]);
    const scenes = Array.from({ length: 200 }, (_, frame) => plan.scene(frame));
    assertNotEquals(scenes[0].pose, scenes[40].pose);
    assertNotEquals(scenes[0].lightX, scenes[40].lightX);
    blurred += scenes.filter(({ blur }) => blur > 0).length;
    covered += scenes.filter(({ occluder }) => occluder !== undefined).length;
    blinks += scenes.filter(({ blink }) => blink > 0).length;
  }
  for (const count of [blurred, covered, blinks]) {
    assertGreater(count, 0);
    assertLess(count, 800 / 4); // accidents are few, so that the set can be learnt
  }
});

Deno.test("planTrack: dense episodes follow each other from the first frame to the last", () => {
  for (const name of ["video1", "video2", "video3"]) {
    const labels = planTrack(1, name, 72, [4, 0, 6], true).states.map(({ expression }) => expression);
    const runs = labels.filter((label, frame) => label !== labels[frame - 1]);
    assertEquals(runs, [4, 0, 6]);
    for (const label of runs) assertGreater(labels.filter((other) => other === label).length, 10);
  }
});

Deno.test("planTrack: the face turns away for a while, never farther than it can be drawn", () => {
  let [longest, away] = [0, 0];
  for (let track = 0; track < 20; track++) {
    const { scene } = planTrack(3, `video${track}`, 100, [0]);
    for (let frame = 0; frame < 100; frame++) {
      const yaw = Math.abs(scene(frame).pose.yaw);
      assert(yaw <= 0.55, `a yaw of ${yaw} at frame ${frame} of track ${track}`);
      away = yaw > 0.35 ? away + 1 : 0;
      longest = Math.max(longest, away);
    }
  }
  assertGreater(longest, 8);
});

Deno.test("renderJpeg: a frame's bytes do not depend on the frames made before it", async () => {
  const first = planTrack(1, "video2", 40, [4]);
  const alone = await jpeg(first, 17);
  const again = planTrack(1, "video2", 40, [4]);
  for (const frame of [39, 3, 16, 18]) await jpeg(again, frame);
  await jpeg(planTrack(1, "video3", 40, [5]), 17);
  assertEquals(await jpeg(again, 17), alone);
});

Deno.test("renderJpeg: another frame, track or seed gives other bytes", async () => {
  const bytes = await jpeg(planTrack(1, "video2", 40, [4]), 17);
  assertNotEquals(await jpeg(planTrack(1, "video2", 40, [4]), 18), bytes);
  assertNotEquals(await jpeg(planTrack(1, "video3", 40, [4]), 17), bytes);
  assertNotEquals(await jpeg(planTrack(2, "video2", 40, [4]), 17), bytes);
});

Deno.test("renderPixels: every annotated action unit is visible at 48 pixels", async () => {
  const scene = stillScene();
  const pixels = (intensities: Scene["intensities"]) =>
    renderPixels({ ...scene, intensities }, SIZE, new RandomStream(1));
  const rest = await pixels(relaxed());
  assertEquals(rest.length, SIZE * SIZE * 3);
  for (const unit of ACTION_UNITS) {
    const moved = await pixels({ ...relaxed(), [unit]: 1 });
    const changed = moved.filter((value, i) => Math.abs(value - rest[i]) > 12).length;
    assertGreater(changed, 15, `${unit} changes ${changed} of ${rest.length} bytes by more than 12 levels`);
  }
});

Deno.test("renderPixels: blur and occluders change the picture, the size is as asked for", async () => {
  const scene = stillScene();
  const pixels = (changes: Partial<Scene>, size = SIZE) =>
    renderPixels({ ...scene, ...changes }, size, new RandomStream(1));
  const rest = await pixels({});
  assertNotEquals(await pixels({ blur: 3 }), rest);
  for (const kind of ["hand", "strand", "microphone"] as const) {
    assertNotEquals(await pixels({ occluder: { kind, x: 0, y: 30, angle: 0 } }), rest, kind);
  }
  assertEquals((await pixels({}, 20)).length, 20 * 20 * 3);
});
