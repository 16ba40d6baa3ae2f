/**
 * A talking-face track: one person, several expression episodes, a head that moves, light, a camera, accidents.
 *
 * What makes faces in the wild hard is drawn: for a dozen frames at a time, at least a temporal network's window of
 * nine, something covers the face or it turns away, and only the frames before and after say what it shows.
 *
 * @module
 */
import { RandomStream } from "../random.ts";
import { drawPeak, type Episode, type FaceState, type Intensities, relaxed, stateAt } from "./expressions.ts";
import type { Pose } from "./geometry.ts";
import { drawIdentity, type Identity, type Rgb } from "./identity.ts";
import type { Occluder, Scene } from "./render.ts";

/** Shortest and longest onset or offset, and apex, in frames. */
const RAMP = [4, 8] as const;
const APEX = [9, 18] as const;
/** Shortest and longest time for which something covers the face or it turns away, in frames. */
const HIDDEN = [9, 17] as const;
/** The drawing holds for a face that is turned by at most so much, in radians. */
const LARGEST_YAW = 0.55;

/** A track before it is rendered. */
export interface TrackPlan {
  readonly name: string;
  readonly frameCount: number;
  readonly identity: Identity;
  readonly states: readonly FaceState[];
  /** The scene of a frame, 0-based. */
  scene(frame: number): Scene;
}

/** A smooth random walk as a sum of slow sines: its value at any frame, without the frames before. */
function wander(random: RandomStream, amplitude: number, framesPerTurn: number): (frame: number) => number {
  const waves = [1, 0.55, 0.3].map((share, i) => ({
    share: share / 1.85,
    speed: 2 * Math.PI * (i + 1) * random.uniform(0.7, 1.3) / framesPerTurn,
    phase: random.uniform(0, 2 * Math.PI),
  }));
  return (frame) =>
    amplitude * waves.reduce((sum, w) => sum + w.share * Math.sin(w.speed * frame + w.phase), 0);
}

/** Frames [from, to) in which something happens, a few times in a track. */
function accidents(
  random: RandomStream,
  frameCount: number,
  share: number,
  length: readonly [number, number],
) {
  const spans: { from: number; to: number; index: number }[] = [];
  for (let frame = 0, index = 0; frame < frameCount; frame++) {
    if (!random.chance(share)) continue;
    const to = frame + length[0] + random.integer(length[1] - length[0] + 1);
    spans.push({ from: frame, to, index: index++ });
    frame = to;
  }
  return (frame: number) => spans.find(({ from, to }) => frame >= from && frame < to);
}

/** Lays episodes of the given expressions over the frames, with neutral stretches between them. */
function layEpisodes(
  frameCount: number,
  expressions: readonly number[],
  expressivity: number,
  random: RandomStream,
): Episode[] {
  const slot = frameCount / Math.max(1, expressions.length);
  return expressions.map((expression, i) => {
    const [onset, offset] = [drawRamp(slot, random), drawRamp(slot, random)];
    const apex = Math.max(2, Math.round(shareOf(slot) * (APEX[0] + random.integer(APEX[1] - APEX[0] + 1))));
    const slack = Math.max(0, Math.floor(slot - onset - apex - offset));
    const start = Math.round(i * slot) + random.integer(slack + 1);
    return { expression, start, onset, apex, offset, peak: drawPeak(expression, expressivity, random) };
  });
}

/** Lays them end to end: each fades into the next; the first is there at the first frame, the last at the last. */
function layDenseEpisodes(
  frameCount: number,
  expressions: readonly number[],
  expressivity: number,
  resting: Intensities,
  random: RandomStream,
): Episode[] {
  const slot = frameCount / expressions.length;
  const borders = Array.from({ length: expressions.length + 1 }, (_, i) => {
    const end = i % expressions.length === 0; // of the track
    return Math.round((end ? i : i + random.uniform(-0.2, 0.2)) * slot);
  });
  return expressions.map((expression, i) => {
    const [onset, offset] = [drawRamp(slot, random), drawRamp(slot, random)];
    const apex = Math.max(2, borders[i + 1] - borders[i]);
    const peak = expression === 0 ? resting : drawPeak(expression, expressivity, random);
    return { expression, start: borders[i] - onset, onset, apex, offset, peak };
  });
}

function drawRamp(slot: number, random: RandomStream): number {
  return Math.max(1, Math.round(shareOf(slot) * (RAMP[0] + random.integer(RAMP[1] - RAMP[0] + 1))));
}

/** Where the longest episode does not fit, all are shortened to this share. */
function shareOf(slot: number): number {
  return Math.min(1, slot / (RAMP[1] * 2 + APEX[1]));
}

function drawColour(random: RandomStream): Rgb {
  return [random.integer(220), random.integer(220), random.integer(220)];
}

/**
 * Plans a track. Every part draws from a stream of its own, named by the track, so that a frame does not depend on
 * the frames rendered before it.
 *
 * @param expressions of the episodes, in order; Neutral among them is a stretch without one
 * @param dense true: an episode lasts until the next; Neutral is there only in episodes of its own
 * @param person whose face it is; by default every track is another person's
 */
export function planTrack(
  seed: number,
  name: string,
  frameCount: number,
  expressions: readonly number[],
  dense = false,
  person = name,
): TrackPlan {
  const stream = (...path: (string | number)[]) => new RandomStream(seed, "track", name, ...path);
  const identity = drawIdentity(new RandomStream(seed, "track", person, "identity"));
  const resting = relaxed();
  resting.AU4 = identity.restingBrow;
  const { expressivity } = identity;
  const episodes = dense
    ? layDenseEpisodes(frameCount, expressions, expressivity, resting, stream("episodes"))
    : layEpisodes(frameCount, expressions, expressivity, stream("episodes"));
  // People who talk: a third of the time, several syllables a second, so that a single frame's mouth says little.
  const talking = accidents(stream("speech"), frameCount, 0.05, [6, 16]);
  const speech = wander(stream("speech wave"), 1, 12);
  const states = Array.from({ length: frameCount }, (_, frame) => {
    const level = talking(frame) === undefined ? 0 : Math.max(0, speech(frame)) * 0.8;
    return stateAt(frame, resting, episodes, level);
  });
  return { name, frameCount, identity, states, scene: sceneOf(stream, identity, states, frameCount) };
}

/** The random numbers of a part of the track, by its name. */
type Streams = (...path: (string | number)[]) => RandomStream;

/** How the head is held at each frame. */
function poseOf(stream: Streams, frameCount: number): (frame: number) => Pose {
  const motion = stream("pose");
  // The real crops are aligned: what is left of roll, place and scale is the detector's error.
  const base = { yaw: motion.normal(0, 0.08), pitch: motion.normal(0, 0.05), roll: motion.normal(0, 0.02) };
  const yaw = wander(motion, 0.22, 50);
  const pitch = wander(motion, 0.1, 50);
  const roll = wander(motion, 0.03, 60);
  const shiftX = wander(motion, 1.2, 60);
  const shiftY = wander(motion, 1, 50);
  const scale = motion.uniform(1.2, 1.28);
  const turning = accidents(stream("turns"), frameCount, 0.022, HIDDEN);
  const aside = (frame: number) => {
    const turn = turning(frame);
    if (turn === undefined) return 0;
    const random = stream("turn", turn.index);
    const angle = random.uniform(0.4, 0.6) * (random.chance(0.5) ? 1 : -1);
    return angle * Math.min(1, 2 * Math.sin(Math.PI * (frame - turn.from + 0.5) / (turn.to - turn.from)));
  };
  return (frame) => ({
    yaw: Math.max(-LARGEST_YAW, Math.min(LARGEST_YAW, base.yaw + yaw(frame) + aside(frame))),
    pitch: base.pitch + pitch(frame),
    roll: base.roll + roll(frame),
    scale,
    shiftX: shiftX(frame),
    shiftY: shiftY(frame),
  });
}

function sceneOf(
  stream: Streams,
  identity: Identity,
  states: readonly FaceState[],
  frameCount: number,
): (frame: number) => Scene {
  const pose = poseOf(stream, frameCount);
  const light = stream("light");
  const lightX = light.uniform(-0.6, 0.6);
  const lightWalk = wander(light, 0.3, 70);
  const level = light.uniform(0.8, 1.12);
  const gain: Rgb = [level * light.uniform(0.93, 1.07), level, level * light.uniform(0.9, 1.08)];
  const background = [drawColour(light), drawColour(light)] as const;
  const gazeX = wander(stream("gaze"), 0.7, 40);
  const gazeY = wander(stream("gaze y"), 0.4, 50);
  const blinking = accidents(stream("blinks"), frameCount, 0.02, [2, 3]);
  const blurred = accidents(stream("blur"), frameCount, 0.03, [2, 5]);
  const covered = accidents(stream("occluder"), frameCount, 0.022, HIDDEN);
  const camera = stream("camera");
  const noise = camera.uniform(2, 9);
  const quality = 60 + camera.integer(36);
  return (frame) => {
    const blur = blurred(frame);
    const cover = covered(frame);
    return {
      identity,
      intensities: states[frame].intensities,
      pose: pose(frame),
      gaze: [gazeX(frame), gazeY(frame)],
      blink: blinking(frame) === undefined ? 0 : 1,
      background,
      lightX: Math.max(-1, Math.min(1, lightX + lightWalk(frame))),
      gain,
      occluder: cover && drawOccluder(stream("occluder", cover.index)),
      blur: blur === undefined ? 0 : stream("blur", blur.index).uniform(1.2, 3.2),
      noise,
      quality,
    };
  };
}

function drawOccluder(random: RandomStream): Occluder {
  const kind = random.pick(["hand", "hand", "hand", "strand", "microphone"] as const);
  if (kind === "hand") {
    const low = random.chance(0.6);
    return { kind, x: random.uniform(-14, 14), y: low ? 32 : 0, angle: random.uniform(-25, 25) };
  }
  if (kind === "strand") {
    return { kind, x: random.uniform(-20, 20), y: random.uniform(-8, 4), angle: random.uniform(-20, 20) };
  }
  return { kind, x: random.uniform(-12, 12), y: random.uniform(32, 40), angle: random.uniform(-30, 30) };
}
